import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';
import { messageOf } from '../domain/errors.js';

function innermostOf(error: unknown): unknown {
  return error instanceof ActivityFailure && error.cause !== undefined ? innermostOf(error.cause) : error;
}

/** Whether an activity has refused a request before it touched anything. */
export function isRefusal(error: unknown): boolean {
  const innermost = innermostOf(error);
  return innermost instanceof ApplicationFailure && ['InvalidRequest', 'Refused'].includes(innermost.type ?? '');
}

/** The innermost reason of a failure, as a sentence. */
export function describeFailure(error: unknown): string {
  const innermost = innermostOf(error);
  if (innermost instanceof ApplicationFailure) return `${innermost.type ?? 'failure'}: ${innermost.message}`;
  return messageOf(innermost);
}
