/** How far back the same time of day, and of the week, is looked at. */
const DAYS = 7;
const WEEKS = 4;
/** What must have been seen before a season is believed. */
const LEAST_DAYS = 3;
const LEAST_WEEKS = 2;
/** A season has to fit so much better than the level. */
const PREFERENCE = 0.8;
const REACH = 2;
const LEVEL_MS = 6 * 3_600_000;
/** Share of the long-run mean that is added to both sides of a ratio: quiet times are not compared by their noise. */
const OFFSET = 0.1;
const DAY_MS = 24 * 3_600_000;

/** What was expected of a value, and how far off it is. */
export interface Deviation {
  readonly expected: number;
  /** The least of all expectations and of the median: a spike some windows ago has not raised all of them. */
  readonly atLeast: number;
  /** `log((value + offset) / (expected + offset))`: the same for a series in any unit, and for a half as for a double. */
  readonly logRatio: number;
}

/**
 * What a series is expected to be next: its level lately, the median at the same time of the days before, or of the weeks
 * before, whichever has been closest over the last two days. In bounded memory: four weeks of values.
 */
export class Baseline {
  readonly day: number;
  private readonly week: number;
  private readonly values: Float32Array;
  private count = 0;
  private level = NaN;
  private mean = NaN;
  /** Of all values known, brought up to date once a day. */
  private median = NaN;
  private readonly errors = { level: NaN, daily: NaN, weekly: NaN };

  /** @param windowMs length of a window, milliseconds */
  constructor(private readonly windowMs: number) {
    this.day = Math.max(1, Math.round(DAY_MS / windowMs));
    this.week = 7 * this.day;
    this.values = new Float32Array(WEEKS * this.week + 1);
  }

  /** Values seen. */
  get length(): number {
    return this.count;
  }

  /** Values that it still has. */
  get known(): number {
    return Math.min(this.count, this.values.length);
  }

  /** The value `ago` windows before the last one; less than `known`. */
  recent(ago: number): number {
    return this.values[(this.count - 1 - ago) % this.values.length]!;
  }

  /** Another one that has seen the same. */
  copy(): Baseline {
    const copy = new Baseline(this.windowMs);
    const { count, level, mean, median } = this;
    Object.assign(copy, { count, level, mean, median });
    Object.assign(copy.errors, this.errors);
    copy.values.set(this.values);
    return copy;
  }

  /** Takes the next value; undefined for the first one, of which nothing was expected. */
  next(value: number): Deviation | undefined {
    const { day } = this;
    this.mean = smoothed(this.mean, value, Math.max(1 / (this.count + 1), 1 / (3 * day)));
    const offset = OFFSET * Math.max(0, this.mean);
    const ratioTo = (expected: number) =>
      offset > 0 ? Math.log((Math.max(0, value) + offset) / (Math.max(0, expected) + offset)) : 0;
    const expectations = {
      level: this.level,
      daily: this.earlier(day, DAYS),
      weekly: this.earlier(this.week, WEEKS),
    };
    let best: keyof typeof expectations = 'level';
    if (this.isBetter('daily', best, LEAST_DAYS * day)) best = 'daily';
    if (this.isBetter('weekly', best, LEAST_WEEKS * this.week)) best = 'weekly';
    const expected = expectations[best];
    for (const name of ['level', 'daily', 'weekly'] as const) {
      if (Number.isNaN(expectations[name])) continue;
      const error = Math.min(1, Math.abs(ratioTo(expectations[name])));
      this.errors[name] = smoothed(this.errors[name], error, 1 / (2 * day));
    }
    this.values[this.count % this.values.length] = value;
    this.count += 1;
    if (this.count % day === 0) this.median = medianOf(this.values.slice(0, this.known));
    this.level = smoothed(
      this.level,
      this.withinReach(value, offset),
      Math.max(1 / this.count, 1 / Math.max(3, LEVEL_MS / this.windowMs)),
    );
    if (Number.isNaN(expected)) return undefined;
    const known = [...Object.values(expectations), this.median].filter((each) => !Number.isNaN(each));
    const atLeast = Math.min(...known);
    return { expected, atLeast, logRatio: ratioTo(expected) };
  }

  /** A spike raises the level no more than a value of twice the level does: what comes after it would look like a drop. */
  private withinReach(value: number, offset: number): number {
    if (Number.isNaN(this.level)) return value;
    return Math.min(value, REACH * (this.level + offset));
  }

  private isBetter(season: 'daily' | 'weekly', than: keyof typeof this.errors, least: number): boolean {
    return this.count >= least && this.errors[season] < PREFERENCE * this.errors[than];
  }

  /** Median of what was one, two, ... seasons ago. */
  private earlier(season: number, most: number): number {
    const found: number[] = [];
    for (let k = 1; k <= most && k * season <= this.count; k++) {
      found.push(this.values[(this.count - k * season) % this.values.length]!);
    }
    return medianOf(Float32Array.from(found));
  }
}

/** Sorts what it is given; `NaN` of nothing. */
function medianOf(values: Float32Array): number {
  values.sort();
  const middle = values.length >> 1;
  if (values.length % 2 === 1) return values[middle]!;
  return values.length === 0 ? NaN : (values[middle - 1]! + values[middle]!) / 2;
}

export const smoothed = (before: number, value: number, share: number): number =>
  Number.isNaN(before) ? value : before + share * (value - before);
