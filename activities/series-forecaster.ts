import { Worker } from 'node:worker_threads';
import type { ForecastOutcome } from '../forecasting/select.js';

export interface SeriesRequest {
  readonly requests: Float64Array;
  readonly seasons: readonly number[];
  readonly horizon: number;
  readonly level: number;
  /** Names of models, as in the policy. */
  readonly models: readonly string[];
}

/**
 * Forecasts in a thread of its own. A forecast computes for a tenth of a second without a break: in the worker's own
 * thread it would hold up heartbeats, and boundary steps in which writes wait.
 */
export class SeriesForecaster {
  private readonly thread = new Worker(new URL('./forecast-thread.js', import.meta.url));
  private settle: { resolve(outcome: ForecastOutcome): void; reject(error: Error): void } | undefined;
  private failure: Error | undefined;

  constructor(signal: AbortSignal) {
    this.thread.on('message', (outcome: ForecastOutcome) => this.settle?.resolve(outcome));
    this.thread.on('error', (error: Error) => this.fail(error));
    this.thread.on('exit', () => this.fail(new Error('the forecasting thread has ended')));
    signal.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** One at a time. */
  forecast(request: SeriesRequest): Promise<ForecastOutcome> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) return reject(this.failure);
      this.settle = { resolve, reject };
      return this.thread.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await this.thread.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.settle?.reject(this.failure);
  }
}
