/** How a node has served a partition: requests, those that failed, and the sum of their latencies in milliseconds. */
export interface Served {
  readonly requests: number;
  readonly errors: number;
  readonly latencyMs: number;
}

/** When a move is rolled back by itself: how much worse the target may serve than the source. */
export interface WatchPolicy {
  /** Fewer requests at the target say nothing. */
  readonly minimumRequests: number;
  /** By how much the target's share of failed requests may exceed the source's, in [0, 1]. */
  readonly errorRate: number;
  /** How many times the source's mean latency the target's may be... */
  readonly latencyFactor: number;
  /** ...once it is above this, milliseconds. */
  readonly latency: number;
  /** How long a change may take to get from one side to the other, milliseconds. */
  readonly lag: number;
}

const NOTHING: Served = { requests: 0, errors: 0, latencyMs: 0 };

/**
 * Why the target serves worse than the source, in a sentence; undefined when it does not, or too little is known.
 *
 * With everything at the target already there is no source to compare with: `before` is how it served until then.
 */
export function worse(
  { minimumRequests, errorRate, latencyFactor, latency }: WatchPolicy,
  target: Served = NOTHING,
  source: Served = NOTHING,
): string | undefined {
  if (target.requests < minimumRequests) return undefined;
  const failing = rate(target.errors, target);
  const failingBefore = rate(source.errors, source);
  if (failing - failingBefore > errorRate) {
    return `${percent(failing)} of the requests fail at the target, ${percent(failingBefore)} at the source`;
  }
  const ms = rate(target.latencyMs, target);
  const before = rate(source.latencyMs, source);
  if (source.requests >= minimumRequests && ms > latency && ms > latencyFactor * before) {
    return `requests take ${ms.toFixed(0)} ms at the target, ${before.toFixed(0)} ms at the source`;
  }
  return undefined;
}

const rate = (sum: number, { requests }: Served): number => (requests === 0 ? 0 : sum / requests);

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
