import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { ControlContext } from '../../client/context.js';
import { listMigrations, migrate, steer } from '../../client/migrations.js';
import { migrationWorkflowId } from '../../workflows/messages.js';
import { KEYSPACE } from './operations.js';

const WEIGHTS = [
  [100],
  [50, 100],
  [10, 40, 100],
  [1, 5, 25, 50, 100],
  [10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
] as const;
const POLL_MS = 200;
const MOST_TIMEOUTS = 5;

/** Moves a partition back and forth, one migration after the other, and now and then changes its mind. */
export class Mover {
  /** Nodes of the migration that runs now, or ran last. */
  current: { readonly source: string; readonly target: string } | undefined;
  private running = true;
  private readonly done: Promise<void>;

  constructor(
    private readonly control: ControlContext,
    private readonly partition: string,
    private readonly next: () => number,
    private readonly log: (line: string) => void,
  ) {
    this.done = this.run();
  }

  /**
   * Starts no more migrations, and gives the one under way time to end: as long as it comes on, but for one that never would.
   *
   * @param timeoutMs without progress
   * @returns what has not ended by then
   */
  async settle(timeoutMs: number): Promise<readonly string[]> {
    this.running = false;
    const begun = performance.now();
    let progress: string | undefined;
    let deadline = begun + timeoutMs;
    // A request to begin one may be under way.
    await Promise.race([this.done, sleep(timeoutMs)]);
    for (;;) {
      const stuck = await this.underWay().catch((error: unknown) => [
        `asking about ${this.partition}: ${String(error)}`,
      ]);
      const now = performance.now();
      if (stuck.length === 0 || now > deadline) return stuck;
      const seen = await this.progress().catch(() => progress);
      if (seen !== progress && now < begun + MOST_TIMEOUTS * timeoutMs) deadline = now + timeoutMs;
      progress = seen;
      await sleep(POLL_MS);
    }
  }

  /** Changes with every phase that is entered and every step that is made. */
  private async progress(): Promise<string> {
    const [record] = await listMigrations(this.control, { keyspace: KEYSPACE, partition: this.partition });
    return `${record?._id} ${record?.phase} ${record?.steps?.length}`;
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
    const { control, partition, next } = this;
    const weights = WEIGHTS[Math.floor(next() * WEIGHTS.length)]!;
    const [mind, patience] = [next(), next() * 5_000];
    const maxMegabytesPerSecond = next() < 0.5 ? 0 : 2;
    const dwell = next() < 0.5 ? 0 : 200;
    const { source } = (await control.catalog.partitions.get(KEYSPACE, partition)).route;
    const target = control.nodes.names.find((name) => name !== source)!;
    this.current = { source, target };
    await migrate(control, { keyspace: KEYSPACE, partition, target, weights, dwell, maxMegabytesPerSecond });
    if (mind >= 0.25) return;
    await sleep(patience);
    const verb = mind < 0.15 ? 'rollback' : 'abort';
    await steer(control, KEYSPACE, partition, verb, { reason: 'changed my mind' });
    this.log(`  ${verb} of ${partition}`);
  }

  /** What has begun and not ended, by the catalog and by Temporal. */
  private async underWay(): Promise<readonly string[]> {
    const { control, partition } = this;
    const found: string[] = [];
    const { handover } = await control.catalog.partitions.get(KEYSPACE, partition);
    if (handover !== null) {
      found.push(`${partition} is held, ${handover.state.kind}, by migration ${handover.migration}`);
    }
    const temporal = await control.temporal();
    try {
      const { status } = await temporal.workflow.getHandle(migrationWorkflowId(KEYSPACE, partition)).describe();
      if (status.name === 'RUNNING') found.push(`the workflow of ${partition} runs`);
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
    return found;
  }
}
