import { ApplicationFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/client';
import { DroverError, ErrorCode } from '../domain/errors.js';

/** What ended a workflow or refused an update; its type is a code of the error registry where it comes from Drover. */
export function failureOf(cause: unknown): Error {
  let innermost = cause;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  if (innermost instanceof ApplicationFailure && innermost.type != null && innermost.type in ErrorCode) {
    return new DroverError(innermost.type as ErrorCode, innermost.message);
  }
  if (innermost instanceof TerminatedFailure) {
    return new Error(`the workflow was terminated from outside, and could not clean up: ${innermost.message}`);
  }
  if (innermost instanceof TimeoutFailure) return new Error(`the workflow ran out of time: ${innermost.message}`);
  return innermost instanceof Error ? innermost : new Error(String(innermost));
}
