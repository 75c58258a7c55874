import type { Deviation } from './anomaly-baseline.js';
import { Baseline, smoothed } from './anomaly-baseline.js';
import { Peaks } from './anomaly-peaks.js';

/** What is unexpected of a series of loads. */
export interface Anomaly {
  /**
   * - `spike`, `drop`: one window is far above or below what was expected;
   * - `level-shift`: the mean of some hours is;
   * - `record`: no window of the last weeks was as high;
   * - `lost-traffic`: nearly nothing comes any more.
   */
  readonly kind: 'spike' | 'drop' | 'level-shift' | 'record' | 'lost-traffic';
  readonly direction: 'up' | 'down';
  /** The window in which it was found, counted from the first one. */
  readonly index: number;
  readonly value: number;
  readonly expected: number;
  /** Windows that were looked at together. */
  readonly windows: number;
  /** How many times the usual deviation of so many windows it is. */
  readonly score: number;
}

export interface AnomalyOptions {
  /** Length of a window, milliseconds. */
  readonly windowMs: number;
  /** The values are counts: what may come by chance (Poisson) is no anomaly. */
  readonly counts?: boolean;
}

const HOUR_MS = 3_600_000;
/** Deviations are looked at over these times; the shortest is one window. */
const LENGTHS_MS = [0, HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS];
/** Nothing is found before so much has been seen. */
const WARM_UP_DAYS = 1;
/** Nor is a value a record among so few. */
const RECORD_DAYS = 2;
const MEMORY_WEEKS = 2;
/** How often a week as large a deviation may be seen by chance: what is seen more often is how the series is. */
const CHANCES_A_WEEK = 1;
/** A deviation has to exceed an earlier one by so much to be larger. */
const MARGIN = 1.1;
const RECORD_MARGIN = 1.1;
/** Least deviation, in times the usual one, and of the logarithm. */
const LEAST_SCORE = 4;
const LEAST_DEVIATION = 0.15;
/** The usual deviation is that of so many days. */
const USUAL_DAYS = 3;
/** Findings of one series are at least so far apart. */
const COOL_DOWN_DAYS = 0.5;
/** Traffic is lost when less than this share of what was expected comes, */
const LOST_SHARE = 0.05;
/** and, where counts are known, so many were expected, */
const LEAST_LOST = 20;
/** for longer, by this factor, than it has ever been so quiet. */
const QUIETER = 1.5;
/** Standard deviations of a count. */
const CHANCE = 3;

interface Length {
  readonly windows: number;
  sum: number;
  usual: number;
  readonly peaks: Peaks;
}

/**
 * Finds level shifts, spikes and lost traffic in a series, window by window.
 *
 * Expected is what {@link Baseline} says; the deviation of a stretch of windows is the mean of the logarithms of value by expectation.
 * It is an anomaly when it is larger than all of the last two weeks, but two: of a series
 * that goes on as it was, whatever its noise, a window deviates more than all of the `n` before it with a probability of 1/n, so
 * that the number of false alarms is bounded by the ranks, without any assumption about a distribution.
 */
export class AnomalyDetector {
  private baseline: Baseline;
  private readonly day: number;
  private lengths: readonly Length[];
  private values: Peaks;
  /** Ring of the last day's log ratios, values and expectations. */
  private readonly ratios: Float32Array;
  private readonly counts: Float32Array;
  private readonly expectations: Float32Array;
  private quiet = { windows: 0, expected: 0, longest: 0, told: false };
  private lastFound = -Infinity;

  constructor(private readonly options: AnomalyOptions) {
    const { windowMs } = options;
    this.baseline = new Baseline(windowMs);
    this.day = this.baseline.day;
    const memory = MEMORY_WEEKS * 7 * this.day;
    const lengths = new Set(LENGTHS_MS.map((ms) => Math.max(1, Math.round(ms / windowMs))));
    this.lengths = [...lengths].map((windows) => ({
      windows,
      sum: 0,
      usual: NaN,
      peaks: new Peaks(memory, COOL_DOWN_DAYS * this.day),
    }));
    this.values = new Peaks(memory, COOL_DOWN_DAYS * this.day * 0.2);
    const most = Math.max(...lengths) + 1;
    this.ratios = new Float32Array(most);
    this.counts = new Float32Array(most);
    this.expectations = new Float32Array(most);
  }

  /** Values that it still has. */
  get known(): number {
    return this.baseline.known;
  }

  /** The value `ago` windows before the last one; less than `known`. */
  recent(ago: number): number {
    return this.baseline.recent(ago);
  }

  /** Another one that has seen the same: much cheaper than to show it all of that. */
  copy(): AnomalyDetector {
    const copy = new AnomalyDetector(this.options);
    copy.baseline = this.baseline.copy();
    copy.lengths = this.lengths.map((length) => ({ ...length, peaks: length.peaks.copy() }));
    copy.values = this.values.copy();
    copy.ratios.set(this.ratios);
    copy.counts.set(this.counts);
    copy.expectations.set(this.expectations);
    copy.quiet = { ...this.quiet };
    copy.lastFound = this.lastFound;
    return copy;
  }

  /** Takes the value of the next window, 0 or more. @returns what is unexpected about it */
  next(value: number): Anomaly | undefined {
    const index = this.baseline.length;
    const deviation = this.baseline.next(value) ?? { expected: value, atLeast: value, logRatio: 0 };
    const slot = index % this.ratios.length;
    const found = [...this.deviating(index, slot, value, deviation), ...this.recordHigh(index, value, deviation)];
    const lost = this.lostTraffic(index, value, deviation);
    if (index < WARM_UP_DAYS * this.day) return undefined;
    if (lost !== undefined) {
      this.lastFound = index;
      return lost;
    }
    if (found.length === 0 || index - this.lastFound <= COOL_DOWN_DAYS * this.day) return undefined;
    this.lastFound = index;
    return found.reduce((most, each) => (each.score > most.score ? each : most));
  }

  private *deviating(
    index: number,
    slot: number,
    value: number,
    { expected, logRatio }: Deviation,
  ): Generator<Anomaly> {
    const size = this.ratios.length;
    for (const length of this.lengths) {
      length.sum +=
        Math.fround(logRatio) - (index >= length.windows ? this.ratios[(index - length.windows) % size]! : 0);
    }
    this.ratios[slot] = logRatio;
    this.counts[slot] = value;
    this.expectations[slot] = expected;
    for (const length of this.lengths) {
      if (index < length.windows) continue;
      const mean = length.sum / length.windows;
      const size = Math.abs(mean);
      if (Number.isNaN(length.usual)) length.usual = size;
      const score = size / (length.usual + 1e-6);
      const share = Math.max(1 / (index + 1), 1 / (USUAL_DAYS * this.day));
      length.usual = smoothed(length.usual, Math.min(size, 4 * length.usual + 1e-3), share);
      const weeks = length.peaks.span(index) / (7 * this.day);
      const isLarge = score > LEAST_SCORE && size > LEAST_DEVIATION;
      if (isLarge && length.peaks.largerThan(size / MARGIN, index) <= Math.floor(CHANCES_A_WEEK * weeks)) {
        if (!this.mayBeChance(index, length.windows)) {
          const direction = mean > 0 ? 'up' : 'down';
          const kind = length.windows > 1 ? 'level-shift' : mean > 0 ? 'spike' : 'drop';
          yield { kind, direction, index, value, expected, windows: length.windows, score };
        }
      }
      if (score > LEAST_SCORE / 2) length.peaks.add(size, index);
    }
  }

  private *recordHigh(index: number, value: number, { expected }: Deviation): Generator<Anomaly> {
    const highest = this.values.largest(index);
    const isRecord = value > RECORD_MARGIN * highest && value > 0 && index >= RECORD_DAYS * this.day;
    this.values.add(value, index);
    if (!isRecord || this.mayBeChance(index, 1)) return;
    const score = highest > 0 ? value / highest : Infinity;
    yield { kind: 'record', direction: 'up', index, value, expected, windows: 1, score };
  }

  private lostTraffic(index: number, value: number, { expected, atLeast }: Deviation): Anomaly | undefined {
    const { quiet } = this;
    if (!(atLeast > 0 && value <= LOST_SHARE * atLeast)) {
      this.quiet = { windows: 0, expected: 0, longest: Math.max(quiet.longest, quiet.windows), told: false };
      return undefined;
    }
    quiet.windows += 1;
    quiet.expected += atLeast;
    const isLonger = quiet.windows >= 2 && quiet.windows > QUIETER * quiet.longest;
    const isEnough = this.options.counts !== true || quiet.expected >= LEAST_LOST;
    if (quiet.told || !isLonger || !isEnough) return undefined;
    quiet.told = true;
    const { windows } = quiet;
    return { kind: 'lost-traffic', direction: 'down', index, value, expected, windows, score: Infinity };
  }

  /** Counts scatter by the root of what is expected of them. */
  private mayBeChance(index: number, windows: number): boolean {
    if (this.options.counts !== true) return false;
    let seen = 0;
    let expected = 0;
    for (let i = Math.max(0, index - windows + 1); i <= index; i++) {
      seen += this.counts[i % this.counts.length]!;
      expected += this.expectations[i % this.counts.length]!;
    }
    return Math.abs(seen - expected) < CHANCE * Math.sqrt(Math.max(seen, expected, 1));
  }
}

/** All anomalies of a series, from its first window on. */
export function anomaliesOf(values: Iterable<number>, options: AnomalyOptions): Anomaly[] {
  const detector = new AnomalyDetector(options);
  const found: Anomaly[] = [];
  for (const value of values) {
    const anomaly = detector.next(value);
    if (anomaly !== undefined) found.push(anomaly);
  }
  return found;
}
