import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { ActivityExecuteInput, ActivityInboundCallsInterceptor, Next } from '@temporalio/worker';
import { DroverError, messageOf } from '../domain/errors.js';

/**
 * The one place where errors leave activities: what goes into a workflow's history carries the registry's code as its
 * type, whether a retry can help, and no secret.
 */
export class FailureInterceptor implements ActivityInboundCallsInterceptor {
  constructor(
    private readonly redact: (text: string) => string,
    private readonly log: (message: string, error: unknown) => void,
  ) {}

  async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>): Promise<unknown> {
    try {
      return await next(input);
    } catch (error) {
      // A cancelled activity ends as cancelled, not as failed.
      if (error instanceof CancelledFailure) throw error;
      this.log('an activity attempt failed', error);
      throw this.failure(error);
    }
  }

  private failure(error: unknown): ApplicationFailure {
    const message = this.redact(messageOf(error));
    if (error instanceof DroverError) {
      return ApplicationFailure.create({ message, type: error.code, nonRetryable: !error.retryable });
    }
    const type = error instanceof Error ? error.name : 'Error';
    return ApplicationFailure.create({ message, type, nonRetryable: false });
  }
}
