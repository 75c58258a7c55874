/**
 * A forecast of one series: one value a step for the steps that follow the last observation.
 *
 * `lower` and `upper` bound the central prediction interval at the level it was asked for; at every step
 * `lower <= mean <= upper`. The unit is that of the series.
 */
export interface Forecast {
  readonly mean: readonly number[];
  readonly lower: readonly number[];
  readonly upper: readonly number[];
}
