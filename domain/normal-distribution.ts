/**
 * Standard normal cumulative distribution function, in [0, 1].
 *
 * Abramowitz and Stegun, formula 7.1.26 for the error function: off by at most 1.5e-7, far below what a forecast's
 * interval is worth.
 */
export function normalCdf(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const upperTail = (polynomial * Math.exp(-x * x)) / 2;
  return z < 0 ? upperTail : 1 - upperTail;
}

/**
 * The z for which the interval mean ± z standard deviations holds the share `level` of a normal distribution, for a
 * level in (0, 1): 1.645 for 0.9, 1.960 for 0.95. Found by bisection on {@link normalCdf}.
 */
export function normalHalfWidth(level: number): number {
  const target = (1 + level) / 2;
  let low = 0;
  let high = 8;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < target) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
