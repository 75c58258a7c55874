const DAY_MS = 24 * 3_600_000;

/** How long what a forecast leaves behind is kept, real time in milliseconds. */
export interface ForecastRetention {
  /** Forecasts, until their errors count no more. */
  readonly forecastsMs: number;
  /** Those that a move was decided on. */
  readonly decidedMs: number;
  /** Choices of models of series that nobody forecasts any more. */
  readonly choicesMs: number;
}

export interface RetentionRequest {
  /** Lengths of Drover's time, milliseconds. */
  readonly horizonMs: number;
  /** How long a choice of models is kept. */
  readonly choiceKeptForMs: number;
  /** How long access history is kept by the hour. */
  readonly historyKeptForMs: number;
  /** Seconds of Drover's time per real second. */
  readonly clockRate: number;
}

/**
 * A week, in which errors are shown, or twice as long as errors count in a choice; choices a month, or as long as four of them. A real day
 * at least, however fast Drover's clock is: who replays looks at the forecasts afterwards.
 */
export function forecastRetention(request: RetentionRequest): ForecastRetention {
  const { horizonMs, choiceKeptForMs, historyKeptForMs, clockRate } = request;
  const real = (ms: number) => Math.max(DAY_MS, ms / clockRate);
  const forecastsMs = horizonMs + Math.max(7 * DAY_MS, 2 * choiceKeptForMs);
  return {
    forecastsMs: real(forecastsMs),
    decidedMs: real(Math.max(forecastsMs, historyKeptForMs)),
    choicesMs: real(Math.max(30 * DAY_MS, 4 * choiceKeptForMs)),
  };
}
