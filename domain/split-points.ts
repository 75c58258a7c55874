import type { KnownLoad } from './hot-subsets.js';
import { loadsInOrder, ratio, totalOf } from './hot-subsets.js';
import type { Token } from './token.js';
import type { TokenLoad } from './weights.js';

/** Where a partition could be split, and what would lie on which side. */
export type SplitPoint = HalvingSplit | IsolatingSplit;

/** At a token: those below it, and the others. */
export interface HalvingSplit {
  readonly kind: 'halve';
  readonly at: readonly [Token];
  /** Shares of the load, in the order of the tokens; their sum is 1. */
  readonly shares: readonly [number, number];
}

/** An entity becomes a partition by itself: an entity always stays whole, so no single boundary evens out what is left. */
export interface IsolatingSplit {
  readonly kind: 'isolate';
  readonly entity: Token;
  /** Its ends, those that are not the partition's own. */
  readonly at: readonly Token[];
  /** Shares of the load: below the entity, its own, above it. */
  readonly shares: readonly [number, number, number];
}

export interface SplitPolicy {
  /** Fewer requests say nothing about where the load lies. */
  readonly leastRequests: number;
  /** From this share of its partition's load on an entity is to be by itself, in (0, 1). */
  readonly isolateFrom: number;
}

export const SPLIT_POLICY: SplitPolicy = { leastRequests: 100, isolateFrom: 0.25 };

/**
 * Split points by load, not by size ("Predictive splitting", source documents 4 and 5): the boundary at which the load halves, and
 * for each entity that is too large a part of the load, the two that isolate it. Nothing where too little is known.
 */
export function splitPoints(known: KnownLoad, policy: SplitPolicy = SPLIT_POLICY): SplitPoint[] {
  const ordered = loadsInOrder(known);
  const total = totalOf(known, ordered);
  const { low, high } = known.tokens;
  if (total < policy.leastRequests || high - low < 2n) return [];
  const distribution = new Distribution(known, ordered, total);
  const isolated = ordered
    .filter(({ load }) => load >= policy.isolateFrom * total)
    .sort((a, b) => b.load - a.load)
    .map(({ token, load }): IsolatingSplit => {
      const below = distribution.below(token);
      const own = load / total;
      const at = [token, token + 1n].filter((end) => end > low && end < high);
      return { kind: 'isolate', entity: token, at, shares: [below, own, Math.max(0, 1 - below - own)] };
    });
  const at = distribution.middle();
  const below = distribution.below(at);
  return [...isolated, { kind: 'halve', at: [at], shares: [below, 1 - below] }];
}

/** Load over tokens: what is known of single ones, and the rest spread evenly. */
class Distribution {
  private readonly spreadShare: number;

  constructor(
    private readonly known: KnownLoad,
    private readonly ordered: readonly TokenLoad[],
    private readonly total: number,
  ) {
    this.spreadShare = 1 - ordered.reduce((sum, { load }) => sum + load, 0) / total;
  }

  /** Share of the load of tokens below this one. */
  below(token: Token): number {
    const { tokens } = this.known;
    const single = this.ordered.reduce((sum, each) => (each.token < token ? sum + each.load : sum), 0);
    return single / this.total + this.spreadShare * ratio({ low: tokens.low, high: token }, tokens);
  }

  /** The boundary inside of the partition that divides the load best. */
  middle(): Token {
    const { low, high } = this.known.tokens;
    // The first one from which on at least half of the load is below; the one before it is the only other candidate.
    let [from, to] = [low + 1n, high - 1n];
    while (from < to) {
      const at = (from + to) >> 1n;
      if (this.below(at) >= 0.5) to = at;
      else from = at + 1n;
    }
    const before = from - 1n;
    return before > low && Math.abs(this.below(before) - 0.5) <= Math.abs(this.below(from) - 0.5) ? before : from;
  }
}
