import type { Client } from '@temporalio/client';
import { isGrpcServiceError, ServiceError, WorkflowUpdateRPCTimeoutOrCancelledError } from '@temporalio/client';
import { DroverError } from '../domain/errors.js';

/** How long a worker may take to answer before a command says that none does. */
export const ANSWER_MS = 10_000;

const GRPC_DEADLINE_EXCEEDED = 4;
const GRPC_FAILED_PRECONDITION = 9;
const GRPC_UNAVAILABLE = 14;

/**
 * Asks what only a worker can answer: without one, an update or a query would wait for ever.
 *
 * @param late says what a silence means here
 * @throws DroverError `TimedOut` when nobody answers, `Unavailable` when Temporal does not
 */
export async function answered<T>(
  temporal: Client,
  ask: () => Promise<T>,
  late: string,
  timeoutMs = ANSWER_MS,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  try {
    return await temporal.withDeadline(deadline, ask);
  } catch (error) {
    const code = grpcCode(error);
    const silent =
      error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
      code === GRPC_DEADLINE_EXCEEDED ||
      // What Temporal says of a query when no worker has asked for work lately.
      code === GRPC_FAILED_PRECONDITION;
    if (silent) throw new DroverError('TimedOut', late);
    if (code === GRPC_UNAVAILABLE) throw new DroverError('Unavailable', "Temporal can't be reached any more");
    throw error;
  }
}

export const NO_WORKER = 'no worker answers: is one running ("drover worker", or "drover up" for development)?';

function grpcCode(error: unknown): number | undefined {
  const cause = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(cause) ? cause.code : undefined;
}
