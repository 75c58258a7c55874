import type { Spread } from './statistics.js';
import { spread } from './statistics.js';

/** What may be set for a run; a short try takes less of each. */
export interface BenchOptions {
  /** Boundary steps measured at each rate. */
  readonly steps: number;
  /** Writes per second. */
  readonly rates: readonly number[];
  readonly documents: number;
  /** Measurements of each case, where a case is one measurement. */
  readonly rounds: number;
  /** Names of the cases to measure. */
  readonly cases: readonly string[];
  /** Where to draw the figure of a bench that has one. */
  readonly svg: string | undefined;
  /** For people, on the way: what is being done, and figures that have no baseline. */
  readonly say: (text: string) => void;
}

/** One thing measured at Drover and at its baseline, in turn, in the same run. */
export interface Comparison {
  /** What was done, with its size or rate. */
  readonly case: string;
  /** Names the baseline. */
  readonly against: string;
  readonly unit: string;
  readonly drover: Spread;
  readonly baseline: Spread;
  /** How many times better Drover is; below 1 it is worse. */
  readonly ratio: Spread;
}

export interface Bench {
  /** One line for the list of benches. */
  readonly about: string;
  readonly defaults: Pick<BenchOptions, 'documents'>;
  /** By name, what each is, where they can be measured one at a time. */
  readonly cases?: Readonly<Record<string, string>>;
  run(options: BenchOptions): Promise<readonly Comparison[]>;
}

/** What one round measured on both sides. */
export interface Round {
  readonly drover: number;
  readonly baseline: number;
}

/** Compares round by round, so that what disturbs one round disturbs both of its sides. */
export function comparison(
  what: Pick<Comparison, 'case' | 'against' | 'unit'>,
  better: 'lower' | 'higher',
  rounds: readonly Round[],
): Comparison {
  return {
    ...what,
    drover: spread(rounds.map(({ drover }) => drover)),
    baseline: spread(rounds.map(({ baseline }) => baseline)),
    ratio: spread(rounds.map(({ drover, baseline }) => (better === 'lower' ? baseline / drover : drover / baseline))),
  };
}
