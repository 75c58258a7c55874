import { CancelledFailure, Context } from '@temporalio/activity';

const PERIOD_MS = 500;

/**
 * Runs `work` while telling Temporal that it is alive, also when `work` itself waits for a slow server. `report` keeps
 * the figures that go along.
 */
export async function withHeartbeat<T>(
  work: (report: (details: unknown) => void, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const context = Context.current();
  let details: unknown = {};
  const timer = setInterval(() => context.heartbeat(details), PERIOD_MS);
  context.heartbeat(details);
  try {
    return await work((latest) => {
      details = latest;
    }, context.cancellationSignal);
  } catch (error) {
    // Whatever a cancelled activity stumbles over, it ends as cancelled.
    if (context.cancellationSignal.aborted) throw new CancelledFailure('the activity was cancelled');
    throw error;
  } finally {
    clearInterval(timer);
  }
}
