import { hash32 } from './hash-ring.js';

const DAY_MS = 24 * 3_600_000;

/** How long a choice of models is kept, milliseconds: a day, or the shortest season if that is longer. */
export const choiceKeptForMs = (seasonsMs: readonly number[]): number =>
  seasonsMs.length === 0 ? DAY_MS : Math.max(DAY_MS, Math.min(...seasonsMs));

/**
 * How long the choice of one series is kept: three quarters to five quarters of `keptForMs`, the same for ever. Series that were
 * first seen together are not chosen for together for ever, which would take much longer than a run.
 */
export const choiceOfSeriesKeptForMs = (keptForMs: number, series: string): number =>
  keptForMs * (0.75 + hash32(series) / 2 ** 33);

/** All times are Drover's, milliseconds. */
export interface LastChoice {
  /** End of the history that the next choice is made from. */
  readonly end: number;
  readonly keptForMs: number;
  /** How far a forecast looks ahead. */
  readonly horizonMs: number;
  /** `undefined`: this is the first choice. */
  readonly chosenAt: number | undefined;
}

/**
 * The errors of forecasts made since then count in the next choice: at least those whose time has come since the last one. The
 * newest of them were made a horizon ago, those after them have not been scored.
 */
export const errorsSince = ({ end, keptForMs, horizonMs, chosenAt = end }: LastChoice): number =>
  Math.min(end - keptForMs, chosenAt) - horizonMs;
