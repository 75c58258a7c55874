import { DDSketch } from '@datadog/sketches-js';

/** Of a quantile. What is stored depends on it. */
const RELATIVE_ACCURACY = 0.02;
/** Milliseconds; what is beyond counts as that. */
const SHORTEST = 0.001;
const LONGEST = 3_600_000;

const { mapping } = new DDSketch({ relativeAccuracy: RELATIVE_ACCURACY });

/** Requests per bin of latencies. Such sketches (DDSketch: Masson et al., VLDB 2019) are merged by adding up bin by bin. */
export type LatencyBins = Iterable<readonly [bin: number, requests: number]>;

/** The bin that a latency in milliseconds is counted in. */
export const latencyBin = (ms: number): number => mapping.key(Math.min(Math.max(ms, SHORTEST), LONGEST));

/** Latencies in milliseconds, to 2 %, at these quantiles of [0, 1]; `NaN` where nothing was counted. */
export function latenciesAt(quantiles: readonly number[], bins: LatencyBins): number[] {
  const sketch = new DDSketch({ relativeAccuracy: RELATIVE_ACCURACY });
  for (const [bin, requests] of bins) sketch.accept(mapping.value(bin), requests);
  return quantiles.map((quantile) => sketch.getValueAtQuantile(quantile));
}
