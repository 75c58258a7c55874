interface Peak {
  index: number;
  size: number;
}

/** The largest sizes of the last `memory` windows; those that are close together are one. */
export class Peaks {
  private readonly peaks: Peak[] = [];

  constructor(
    private readonly memory: number,
    /** Windows between two peaks. */
    private readonly apart: number,
  ) {}

  copy(): Peaks {
    const copy = new Peaks(this.memory, this.apart);
    copy.peaks.push(...this.peaks.map((peak) => ({ ...peak })));
    return copy;
  }

  add(size: number, index: number): void {
    const last = this.peaks.at(-1);
    if (last === undefined || index - last.index >= this.apart) this.peaks.push({ index, size });
    else if (size > last.size) Object.assign(last, { index, size });
  }

  /** How many were larger. */
  largerThan(size: number, index: number): number {
    this.forget(index);
    return this.peaks.filter((peak) => peak.size >= size).length;
  }

  largest(index: number): number {
    this.forget(index);
    return this.peaks.reduce((most, { size }) => Math.max(most, size), 0);
  }

  /** How many of the last windows it knows. */
  span(index: number): number {
    return Math.min(index, this.memory);
  }

  private forget(index: number): void {
    while (this.peaks.length > 0 && this.peaks[0]!.index < index - this.memory) this.peaks.shift();
  }
}
