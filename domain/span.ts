/** A stretch of time `[from, until)`, milliseconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly until: number;
}

/**
 * Stretches of `[from, until)` that no span covers, in their order. What lies before all spans is none of them.
 *
 * @param spans in any order; they may overlap
 */
export function uncovered(spans: readonly Span[], from: number, until: number): Span[] {
  const gaps: Span[] = [];
  const [first, ...rest] = [...spans].sort((a, b) => a.from - b.from);
  if (first === undefined) return gaps;
  let covered = Math.max(from, first.until);
  for (const span of rest) {
    if (span.from >= until) break;
    if (span.from > covered) gaps.push({ from: covered, until: span.from });
    covered = Math.max(covered, span.until);
  }
  if (covered < until) gaps.push({ from: covered, until });
  return gaps;
}
