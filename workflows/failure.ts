import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';

/** The innermost reason of a failure, as a sentence. */
export function describeFailure(error: unknown): string {
  let innermost = error;
  while (innermost instanceof ActivityFailure && innermost.cause !== undefined) innermost = innermost.cause;
  if (innermost instanceof ApplicationFailure) return `${innermost.type ?? 'failure'}: ${innermost.message}`;
  return innermost instanceof Error ? innermost.message : String(innermost);
}
