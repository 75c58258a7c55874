/** A season is only believed in if values a season apart have at least this much in common (autocorrelation). */
const CLEAR = 0.3;

/** How much clearer than the expected seasons one that nobody expected has to be. */
const CLEARER_BY = 0.15;

/**
 * The seasons to forecast with, in steps, shortest first: the expected ones of which the history holds two, and one
 * more where the newer half of the history repeats itself clearly better at another distance. So a season that has
 * changed its length is found, and an unexpected one.
 */
export function seasonsOf(values: Float64Array, expected: readonly number[]): number[] {
  const fitting = [...new Set(expected)].filter((season) => 2 * season <= values.length).sort((a, b) => a - b);
  const recent = values.subarray(values.length >> 1);
  const found = strongestPeriod(recent);
  if (found === undefined) return fitting;
  const unexpected = fitting.every(
    (season) => !isMultiple(found.period, season) && found.strength > autocorrelation(recent, season) + CLEARER_BY,
  );
  return unexpected ? [...fitting, found.period].sort((a, b) => a - b) : fitting;
}

/** The distance at which the series repeats itself best, if it clearly does; it fits twice into the series. */
export function strongestPeriod(values: Float64Array): { period: number; strength: number } | undefined {
  const longest = Math.floor(values.length / 2);
  const correlations = autocorrelations(values, longest);
  // Neighbours are alike in every smooth series: a season begins to count where that has passed.
  const first = correlations.findIndex((correlation) => correlation < 0);
  if (first < 0) return undefined;
  let best: { period: number; strength: number } | undefined;
  for (let lag = Math.max(2, first); lag < longest; lag++) {
    const strength = correlations[lag]!;
    const isPeak = strength >= correlations[lag - 1]! && strength >= correlations[lag + 1]!;
    if (isPeak && strength >= CLEAR && strength > (best?.strength ?? 0) * 1.1) best = { period: lag, strength };
  }
  return best;
}

/** In [-1, 1]; 0 for a lag that does not fit, and for a constant series. */
export const autocorrelation = (values: Float64Array, lag: number): number =>
  lag < values.length ? correlationAt(centred(values), lag) : 0;

function autocorrelations(values: Float64Array, upTo: number): Float64Array {
  const distances = centred(values);
  return Float64Array.from({ length: upTo + 1 }, (_, lag) => correlationAt(distances, lag));
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

/** Relative to the values that overlap, so that long lags count in full. */
function correlationAt(distances: Float64Array, lag: number): number {
  let product = 0;
  let early = 0;
  let late = 0;
  for (let t = lag; t < distances.length; t++) {
    const a = distances[t - lag]!;
    const b = distances[t]!;
    product += a * b;
    early += a * a;
    late += b * b;
  }
  const scale = Math.sqrt(early * late);
  return scale > 0 ? product / scale : 0;
}

const isMultiple = (period: number, season: number): boolean => {
  const ratio = period / season;
  return Math.round(ratio) >= 1 && Math.abs(ratio - Math.round(ratio)) <= 0.05;
};
