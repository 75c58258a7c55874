/**
 * Counts of each step from the readings of a counter that only grows: the difference to the reading before. A reading
 * below the one before means that the counter began at 0 again, so that all of it is new. `NaN` is a missing reading;
 * what came meanwhile is not known then. One value less than there are readings.
 */
export const countsOfTotals = (totals: readonly number[]): number[] =>
  totals.slice(1).map((total, i) => {
    const before = totals[i]!;
    return total < before ? total : total - before;
  });
