/**
 * The one error registry: every failure that Drover itself raises has a code here, and the code alone says whether a
 * retry can help. Activities turn these into Temporal failures of the same type; the command line into exit codes.
 */
export const ErrorCode = {
  /** The request is wrong: nothing was touched. */
  InvalidRequest: { retryable: false, exitCode: 2 },
  /** The configuration is wrong: nothing was started. */
  InvalidConfiguration: { retryable: false, exitCode: 2 },
  /** A safety check says no: nothing was touched. */
  Refused: { retryable: false, exitCode: 3 },
  /** Another attempt has taken over; this one must not do anything any more. A new attempt takes over in its turn. */
  Superseded: { retryable: true, exitCode: 1 },
  /** Two documents with one `_id` and different keys meet on one node. */
  DuplicateId: { retryable: false, exitCode: 1 },
  /** The copies differ after every recheck. */
  VerificationFailed: { retryable: false, exitCode: 1 },
  /** The change stream's position has left the change log. */
  ChangeLogLost: { retryable: false, exitCode: 1 },
  /** Something happened to the collection that a move cannot follow, such as a drop. */
  SourceChanged: { retryable: false, exitCode: 1 },
  /** A boundary step could not be finished in time and was undone; it may be tried again. */
  StepUndone: { retryable: true, exitCode: 1 },
  /** A server cannot be reached. */
  Unavailable: { retryable: true, exitCode: 1 },
  /** Waited as long as was allowed. */
  TimedOut: { retryable: true, exitCode: 4 },
} as const;

export type ErrorCode = keyof typeof ErrorCode;

/** Raised by Drover's own code; `code` tells what to make of it, the message what to do about it. */
export class DroverError extends Error {
  override readonly name = 'DroverError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  get retryable(): boolean {
    return ErrorCode[this.code].retryable;
  }
}

/** Codes for which a retry is of no use: the `nonRetryableErrorTypes` of every retry policy. */
export const NON_RETRYABLE: readonly ErrorCode[] = (Object.keys(ErrorCode) as ErrorCode[]).filter(
  (code) => !ErrorCode[code].retryable,
);

/** What is said of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
