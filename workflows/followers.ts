import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { Move } from '../activities/index.js';
import type { Direction } from '../domain/partition.js';
import { data, persistent } from './activity-proxies.js';

/**
 * The two directions of replication: they outlive a cancelled migration, as handing back needs them, and end only when
 * they are told to.
 */
export class Followers {
  /** Detached from the migration's own scope: its cancellation must not stop replication. */
  private readonly scope = new CancellationScope({
    cancellable: true,
    parent: new CancellationScope({ cancellable: false }),
  });
  private readonly running = new Map<Direction, Promise<void>>();
  private stopping = false;

  constructor(
    private readonly move: Move,
    /** Called when a direction can't go on; it is tried again without end, as a rollback may depend on it. */
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** One that runs already goes on. */
  start(direction: Direction): void {
    if (this.running.has(direction)) return;
    this.running.set(
      direction,
      this.scope.run(() => this.follow(direction)),
    );
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.scope.cancel();
    await Promise.all(this.running.values());
  }

  private async follow(direction: Direction): Promise<void> {
    let replicate = data.replicate;
    while (!this.stopping) {
      try {
        const summary = direction === 'forward' ? 'source to target' : 'target back to source';
        await replicate.executeWithOptions({ summary }, [{ ...this.move, direction }]);
      } catch (error) {
        if (this.stopping || isCancellation(error)) return;
        this.onFailure(error);
        replicate = persistent.replicate;
      }
    }
  }
}
