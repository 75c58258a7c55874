import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Partition } from '../domain/partition.js';
import { findMisset, findStrayReplication } from '../store/leftovers.js';
import { endedLately } from '../store/misset-expiry.js';
import type { Dependencies } from './dependencies.js';
import { rollUpWhenDue } from './roll-up.js';
import { awaitsGates, clear, openGates, recover, settle } from './repair.js';

const LOOK_MS = 250;
/** A step is over within the time-outs of its parts; one that has not changed for longer has nobody any more. */
const STEP_STALE_MS = 2_000;
/** Retiring waits for cursors: it needs no help for so long. */
const RETIRE_STALE_MS = 60_000;
const LOOK_AT_NODES_MS = 10_000;
const LOOK_AT_WORKFLOWS_MS = 10_000;
const LOOK_AT_RECORDS_MS = 10_000;

/**
 * Looks after what nobody else does, in every worker; several at once do no harm.
 *
 *  - A boundary step that stands still is taken over, and undone or finished. Neither Temporal nor the worker that began
 *    it is needed: writes wait for it.
 *  - A fence that somebody else's `collMod` has erased is set again.
 *  - Documents that would expire while their partition changes hands are kept from it.
 *  - What an activity of a migration that has ended still wrote on a node is removed.
 *  - A migration whose workflow was terminated is handed to one that ends it.
 *  - Access records are rolled up.
 */
export class Janitor {
  private readonly seen = new Map<string, { readonly version: string; readonly since: number }>();
  private readonly settling = new Map<string, Promise<void>>();
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];

  constructor(private readonly dependencies: Dependencies) {}

  start(): void {
    this.running.push(
      this.every(LOOK_MS, 'looking for stale steps', () => this.lookAtSteps()),
      this.every(LOOK_AT_NODES_MS, 'looking for erased fences', () => this.lookAtFences()),
      this.every(LOOK_AT_NODES_MS, 'looking for what migrations have left', () => this.lookAtReplication()),
      this.every(LOOK_AT_WORKFLOWS_MS, 'looking for ended workflows', () => this.lookAtWorkflows()),
      this.every(LOOK_AT_RECORDS_MS, 'rolling access records up', () => this.lookAtRecords()),
    );
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all([...this.running, ...this.settling.values()]);
  }

  /** Steps that have not changed for too long, by this process's own clock. */
  async lookAtSteps(): Promise<void> {
    const { catalog, log } = this.dependencies;
    const unsettled = await catalog.partitions.unsettled();
    const ids = new Set(unsettled.map(({ id }) => id));
    for (const id of this.seen.keys()) if (!ids.has(id)) this.seen.delete(id);
    for (const partition of unsettled.filter((each) => !this.settling.has(each.id))) {
      if (!this.isStale(partition, await this.progressOf(partition))) continue;
      const { id, handover } = partition;
      const about = { partition: id, state: handover?.state.kind, migration: handover?.migration };
      // Nobody waits for it here: one on a node that is away must not hold up another whose writes wait.
      const settled = this.attempt('taking a step over', async () => {
        if (await awaitsGates(this.dependencies, partition)) return;
        log.warn('taking a step over that stands still', about);
        await settle(this.dependencies, partition, this.stopping.signal);
      }).finally(() => {
        this.settling.delete(id);
        // Whatever came of it, the next look starts counting anew.
        this.seen.delete(id);
      });
      this.settling.set(id, settled);
    }
  }

  async lookAtFences(): Promise<void> {
    const { catalog, nodes, log } = this.dependencies;
    for (const partition of await catalog.partitions.gatedInVain()) {
      await this.attempt('removing the gates of a repair', () => openGates(this.dependencies, partition));
    }
    const ended = await endedLately(catalog);
    await this.eachNode('the fences', async (node) => {
      for (const leftover of await findMisset(catalog, nodes, node, ended)) {
        if (leftover.kind === 'expiry') {
          log.warn('documents expire where they are not owned, or do not where they are', { ...leftover });
        } else log.error('a collection is not fenced as it has to be', { ...leftover });
        await this.attempt('setting it right', () => clear(this.dependencies, leftover));
      }
    });
  }

  /** Of migrations that this catalog knows to have ended; of anything else a person decides. */
  async lookAtReplication(): Promise<void> {
    const { catalog, nodes, log } = this.dependencies;
    await this.eachNode('what was left', async (node) => {
      for (const leftover of await findStrayReplication(catalog, nodes, node)) {
        if ((await catalog.migrations.find(leftover.migration!))?.endedAt === undefined) continue;
        log.warn('removing what a migration has left', { ...leftover });
        await this.attempt('removing it', () => clear(this.dependencies, leftover));
      }
    });
  }

  /** A node that is away must not keep the others from being looked at. */
  private async eachNode(what: string, look: (node: string) => Promise<void>): Promise<void> {
    for (const node of this.dependencies.nodes.names) {
      await this.attempt(`looking at ${what} on ${node}`, () => look(node));
    }
  }

  async lookAtWorkflows(): Promise<void> {
    const { catalog, log } = this.dependencies;
    const { signal } = this.stopping;
    // Temporal's client asks for twenty seconds when Temporal is away: a worker that is told to end does not wait for it.
    const looked = new AbortController();
    const stopped = once(signal, 'abort', { signal: looked.signal }).catch(() => undefined);
    for (const migration of await catalog.migrations.list({ state: 'running' })) {
      await this.attempt('having a migration ended', async () => {
        if (signal.aborted) return;
        const workflowId = await Promise.race([recover(this.dependencies, migration), stopped.then(() => null)]);
        if (workflowId === null) return;
        log.warn('a migration was left by its workflow: another one ends it', { migration: migration._id, workflowId });
      });
    }
    looked.abort();
  }

  async lookAtRecords(): Promise<void> {
    const { signal } = this.stopping;
    try {
      await rollUpWhenDue(this.dependencies, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Taking a partition out of a collection that others are in may take long: who is at it tells how far it is. */
  private async progressOf({ handover }: Partition): Promise<number> {
    if (handover?.state.kind !== 'retiring') return 0;
    return (await this.dependencies.catalog.migrations.find(handover.migration))?.removed ?? 0;
  }

  private isStale({ id, epoch, attempt, gates, handover }: Partition, progress: number): boolean {
    const version = [epoch, attempt, progress, ...gates].join('/');
    const before = this.seen.get(id);
    const now = performance.now();
    if (before?.version !== version) {
      this.seen.set(id, { version, since: now });
      return false;
    }
    return now - before.since > (handover?.state.kind === 'retiring' ? RETIRE_STALE_MS : STEP_STALE_MS);
  }

  private async every(ms: number, what: string, look: () => Promise<void>): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await this.attempt(what, look);
      await delay(ms, undefined, { signal }).catch(() => undefined);
    }
  }

  /** What fails now is tried again at the next look. */
  private async attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.dependencies.log.warn(`${what} failed`, { err: error });
    }
  }
}
