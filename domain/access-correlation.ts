import { FrequentItems } from './frequent-items.js';

/** Two partitions, or entities, that are used together. */
export interface UsedTogether {
  readonly a: string;
  readonly b: string;
  /** Sessions with both, at least. */
  readonly sessions: number;
  /** Sessions with both, of those with one of them, in [0, 1] (Jaccard 1901). */
  readonly jaccard: number;
  /**
   * How many times more often they are used together than by chance: 1 is chance, below it they avoid each other. Too large where an item
   * was not frequent enough to be known of all sessions.
   */
  readonly lift: number;
}

/** Counts of some sessions, to be added to those of others: the frequent pairs, and the frequent items with all that are in those. */
export interface CorrelationCounts {
  readonly sessions: number;
  /** Sessions with each. */
  readonly items: readonly (readonly [item: string, sessions: number])[];
  /** Sessions with both, most frequent first. */
  readonly pairs: readonly (readonly [a: string, b: string, sessions: number])[];
}

/** What a client uses within this time is used together. */
export const SESSION_MS = 60_000;
/** Pairs, and single items, that are counted: those that are frequent are kept. */
const COUNTED = 4_096;
/** Of a session with more items, these many are looked at: what uses everything says nothing of what belongs together. */
const MOST_IN_SESSION = 32;

/**
 * Which items are used together, from sessions: sets of items that one client used within a short time. In bounded memory, by the counts
 * of frequent items and pairs, which are too small by at most one in `counted + 1` of all that were added: a session of n items adds
 * n (n - 1) / 2 pairs.
 */
export class AccessCorrelation {
  private readonly items: FrequentItems<string>;
  private readonly pairs: FrequentItems<string>;
  private sessions = 0;

  constructor(counted = COUNTED) {
    this.items = new FrequentItems(counted);
    this.pairs = new FrequentItems(counted);
  }

  /** Different items and pairs that are counted at this moment. */
  get size(): number {
    return this.items.size + this.pairs.size;
  }

  add(session: Iterable<string>): void {
    const items = [...new Set(session)].sort().slice(0, MOST_IN_SESSION);
    if (items.length === 0) return;
    this.sessions += 1;
    for (const [i, a] of items.entries()) {
      this.items.add(a);
      for (const b of items.slice(i + 1)) this.pairs.add(`${a}\n${b}`);
    }
  }

  addCounts({ sessions, items, pairs }: CorrelationCounts): void {
    this.sessions += sessions;
    for (const [item, times] of items) this.items.add(item, times);
    for (const [a, b, times] of pairs) this.pairs.add(`${a}\n${b}`, times);
  }

  /** @param most pairs, and items that are in none of them */
  counts(most: number): CorrelationCounts {
    const pairs = this.pairs.top(most).map(([pair, sessions]) => [...itemsOf(pair), sessions] as const);
    const paired = new Set(pairs.flatMap(([a, b]) => [a, b]));
    const items = this.items.top(Infinity).filter(([item], i) => i < most || paired.has(item));
    return { sessions: this.sessions, items, pairs };
  }

  /**
   * Those with the largest share of common sessions first.
   *
   * @param leastSessions with both; fewer say nothing
   */
  top(number: number, leastSessions = 5): UsedTogether[] {
    const counts = new Map(this.items.top(Infinity));
    return this.pairs
      .top(Infinity)
      .filter(([, sessions]) => sessions >= leastSessions)
      .map(([pair, together]): UsedTogether => {
        const [a, b] = itemsOf(pair);
        // Where a count is too small, it is not below that of the pair.
        const [ofA, ofB] = [a, b].map((item) => Math.max(together, counts.get(item) ?? 0)) as [number, number];
        return {
          ...{ a, b, sessions: together },
          jaccard: together / (ofA + ofB - together),
          lift: (together * this.sessions) / (ofA * ofB),
        };
      })
      .sort((x, y) => y.jaccard - x.jaccard || y.sessions - x.sessions)
      .slice(0, number);
  }
}

function itemsOf(pair: string): readonly [a: string, b: string] {
  const [a = '', b = ''] = pair.split('\n');
  return [a, b];
}
