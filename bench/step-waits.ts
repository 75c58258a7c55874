import type { Waits } from './open-loop.js';

/** When a boundary step held writes back, milliseconds since 1970. */
export interface StepTimes {
  readonly begin: number;
  readonly settle: number;
}

/** The held writes go all at once when a step has settled; what waits behind them is the step's doing, too. */
export const AFTERMATH_MS = 1_000;

export interface StepWaits {
  /** For each step, the longest wait of any write that was waiting at some time during it or its aftermath. */
  readonly steps: readonly number[];
  /** For each time between two steps, the longest wait of any write that began and ended in it. */
  readonly quiet: readonly number[];
}

/** The longest waits during and between steps, which are in the order of their time and don't overlap. */
export function stepWaits(steps: readonly StepTimes[], { intended, answered }: Waits): StepWaits {
  const windows = steps.map(({ begin, settle }, i) => ({
    from: begin,
    to: Math.min(settle + AFTERMATH_MS, steps[i + 1]?.begin ?? Infinity),
  }));
  const longest = windows.map(() => 0);
  const quiet = windows.slice(1).map(() => 0);
  for (const [i, from] of intended.entries()) {
    const to = answered[i]!;
    // A long wait may reach over several steps, and counts in each.
    let window = firstEndingAfter(windows, from);
    if (window > 0 && window < windows.length && to < windows[window]!.from) {
      quiet[window - 1] = Math.max(quiet[window - 1]!, to - from);
    }
    for (; window < windows.length && windows[window]!.from <= to; window++) {
      longest[window] = Math.max(longest[window]!, to - from);
    }
  }
  return { steps: longest, quiet };
}

function firstEndingAfter(windows: readonly { readonly to: number }[], time: number): number {
  let low = 0;
  let high = windows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (windows[middle]!.to < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
