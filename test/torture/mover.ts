import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { ControlContext } from '../../client/context.js';
import { listMigrations, migrate, steer } from '../../client/migrations.js';
import { migrationWorkflowId } from '../../workflows/messages.js';
import { KEYSPACE } from './operations.js';

const WEIGHTS = [[100], [50, 100], [10, 40, 100], [1, 5, 25, 50, 100]] as const;
const POLL_MS = 200;

/** Moves partitions back and forth, one after the other, and now and then changes its mind. */
export class Mover {
  /** Nodes of the migration that runs now, or ran last. */
  current: { readonly partition: string; readonly source: string; readonly target: string } | undefined;
  private running = true;
  private readonly done: Promise<void>;

  constructor(
    private readonly control: ControlContext,
    private readonly next: () => number,
    private readonly log: (line: string) => void,
  ) {
    this.done = this.run();
  }

  /**
   * Starts no more migrations, and gives the one under way time to end.
   *
   * @returns what has not ended by then
   */
  async settle(timeoutMs: number): Promise<readonly string[]> {
    this.running = false;
    const deadline = performance.now() + timeoutMs;
    let stuck: readonly string[] = ['nothing could be asked'];
    do {
      stuck = await this.underWay().catch((error: unknown) => [String(error)]);
      if (stuck.length === 0) {
        await this.done;
        return [];
      }
      await sleep(POLL_MS);
    } while (performance.now() < deadline);
    return stuck;
  }

  /** Migrations by how they ended. */
  async outcomes(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { state } of await listMigrations(this.control)) counts[state] = (counts[state] ?? 0) + 1;
    return counts;
  }

  private async run(): Promise<void> {
    while (this.running) {
      try {
        await this.moveOnce();
      } catch (error) {
        // A server was away, or the request was refused: what has begun nevertheless is waited for.
        this.log(`  moving: ${error instanceof Error ? error.message : String(error)}`);
      }
      while (this.running && (await this.underWay().catch(() => ['unknown'])).length > 0) await sleep(POLL_MS);
      await sleep(POLL_MS);
    }
  }

  private async moveOnce(): Promise<void> {
    const { control, next } = this;
    const partition = next() < 0.5 ? 'p0' : 'p1';
    const weights = WEIGHTS[Math.floor(next() * WEIGHTS.length)]!;
    const [mind, patience, maxMegabytesPerSecond] = [next(), next() * 5_000, next() < 0.5 ? 0 : 2];
    const { source } = (await control.catalog.partitions.get(KEYSPACE, partition)).route;
    const target = control.nodes.names.find((name) => name !== source)!;
    this.current = { partition, source, target };
    await migrate(control, { keyspace: KEYSPACE, partition, target, weights, maxMegabytesPerSecond });
    if (mind >= 0.25) return;
    await sleep(patience);
    const verb = mind < 0.15 ? 'rollback' : 'abort';
    await steer(control, KEYSPACE, partition, verb, { reason: 'changed my mind' });
    this.log(`  ${verb} of ${partition}`);
  }

  /** What has begun and not ended, by the catalog and by Temporal. */
  private async underWay(): Promise<readonly string[]> {
    const found: string[] = [];
    const temporal = await this.control.temporal();
    for (const { name, handover } of await this.control.catalog.partitions.list(KEYSPACE)) {
      if (handover !== null) found.push(`${name} is held, ${handover.state.kind}, by migration ${handover.migration}`);
      try {
        const { status } = await temporal.workflow.getHandle(migrationWorkflowId(KEYSPACE, name)).describe();
        if (status.name === 'RUNNING') found.push(`the workflow of ${name} runs`);
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
    }
    return found;
  }
}
