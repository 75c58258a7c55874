import { CancellationScope } from '@temporalio/workflow';

/** Compensations, registered before the step that they undo, run in reverse order whatever else is cancelled. */
export class Saga {
  private readonly compensations: (() => Promise<unknown>)[] = [];

  compensateWith(undo: () => Promise<unknown>): void {
    this.compensations.unshift(undo);
  }

  async compensate(): Promise<void> {
    await CancellationScope.nonCancellable(async () => {
      for (const undo of this.compensations.splice(0)) await undo();
    });
  }
}
