import { FrequentItems } from './frequent-items.js';

/** Two partitions, or entities, that are used together. */
export interface UsedTogether {
  readonly a: string;
  readonly b: string;
  /** Sessions with both. */
  readonly sessions: number;
  /** Sessions with both, of those with one of them, in [0, 1] (Jaccard 1901). */
  readonly jaccard: number;
  /** How many times more often they are used together than by chance: 1 is chance, below it they avoid each other. */
  readonly lift: number;
}

/** Pairs, and single items, that are counted: those that are frequent are kept. */
const COUNTED = 4_096;
/** Of a session with more items, these many are looked at: what uses everything says nothing of what belongs together. */
const MOST_IN_SESSION = 32;

/**
 * Which items are used together, from sessions: sets of items that one client used within a short time. In bounded memory, by the counts
 * of frequent items and pairs, which are too small by at most one in 4,097 of all.
 */
export class AccessCorrelation {
  private readonly items = new FrequentItems<string>(COUNTED);
  private readonly pairs = new FrequentItems<string>(COUNTED);
  private sessions = 0;

  add(session: Iterable<string>): void {
    const items = [...new Set(session)].sort().slice(0, MOST_IN_SESSION);
    if (items.length === 0) return;
    this.sessions += 1;
    for (const [i, a] of items.entries()) {
      this.items.add(a);
      for (const b of items.slice(i + 1)) this.pairs.add(`${a}\n${b}`);
    }
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
        const [a = '', b = ''] = pair.split('\n');
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
