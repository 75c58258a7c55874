import type { Waits } from './open-loop.js';

/** When a boundary step held writes back, milliseconds since 1970. */
export interface StepTimes {
  readonly begin: number;
  readonly settle: number;
}

export interface StepWaits {
  /** For each step, the longest wait of any write that was waiting at some time during it, or behind those that were. */
  readonly steps: readonly number[];
  /** For each time between two steps, the longest wait of any write that began and ended in it. */
  readonly quiet: readonly number[];
}

interface Window {
  readonly from: number;
  to: number;
}

/** The longest waits during and between steps, which are in the order of their time and don't overlap. */
export function stepWaits(steps: readonly StepTimes[], waits: Waits): StepWaits {
  const windows = steps.map(({ begin, settle }): Window => ({ from: begin, to: settle }));
  // The held writes go all at once when a step has settled: until they are answered, others wait behind them.
  const drained = windows.map(({ to }) => to);
  eachWaiting(windows, waits, (window, { to }) => (drained[window] = Math.max(drained[window]!, to)));
  for (const [i, window] of windows.entries()) window.to = Math.min(drained[i]!, windows[i + 1]?.from ?? Infinity);

  const longest = windows.map(() => 0);
  const quiet = windows.slice(1).map(() => 0);
  const note = (list: number[], i: number, { from, to }: Window) => (list[i] = Math.max(list[i]!, to - from));
  eachWaiting(
    windows,
    waits,
    (window, wait) => note(longest, window, wait),
    (between, wait) => note(quiet, between, wait),
  );
  return { steps: longest, quiet };
}

/** Every wait with each window that it reaches into, or the two windows that it lies between. */
function eachWaiting(
  windows: readonly Window[],
  { intended, answered }: Waits,
  inWindow: (window: number, wait: Window) => void,
  between?: (after: number, wait: Window) => void,
): void {
  for (const [i, from] of intended.entries()) {
    const wait = { from, to: answered[i]! };
    let window = firstEndingAfter(windows, from);
    if (window > 0 && window < windows.length && wait.to < windows[window]!.from) between?.(window - 1, wait);
    // A long wait may reach over several steps, and counts in each.
    for (; window < windows.length && windows[window]!.from <= wait.to; window++) inWindow(window, wait);
  }
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
