/** A model in the race. Figures are per stretch of the horizon. */
export interface RacedModel {
  readonly name: string;
  /** Its part in the forecast; the weights of all models add up to 1. */
  readonly weights: readonly number[];
  /** Mean absolute error in the backtest and of forecasts whose time has come, in the unit of the series. */
  readonly errors: readonly number[];
}

/** Quantiles of actual less forecast value, for each stretch of the horizon. */
export type ErrorQuantiles = readonly (readonly number[])[];

/** What was found out about a series: with it, the next forecasts are made without another backtest. Plain JSON. */
export interface ModelChoice {
  /** In steps, shortest first. */
  readonly seasons: readonly number[];
  /** A twenty-fourth of the shortest season in steps. */
  readonly unit: number;
  /** Ends of the stretches of the horizon in steps; the last is the horizon. */
  readonly ends: readonly number[];
  /** The seasonal naive first, and alone where there was no room for a backtest. */
  readonly models: readonly RacedModel[];
  readonly errorQuantiles: ErrorQuantiles;
  /** From how many points of the past the models were tried; 0 without room for a backtest. */
  readonly origins: number;
  /** Models that failed in the backtest, and why: they were left out. */
  readonly failures: readonly { readonly model: string; readonly message: string }[];
}

/** Absolute errors of forecasts whose time has come, in the unit of the series. */
export interface ErrorSum {
  readonly sum: number;
  readonly count: number;
}

/** By the name of the model, for each stretch of the horizon. */
export type ErrorsByModel = Readonly<Record<string, readonly ErrorSum[]>>;

/** What each model said, against what came. */
export const errorsOfForecast = (
  byModel: Readonly<Record<string, readonly number[]>>,
  ends: readonly number[],
  actual: readonly number[],
): ErrorsByModel =>
  mapValues(byModel, (forecast) =>
    ends.map((end, stretch) => {
      const start = ends[stretch - 1] ?? 0;
      const errors = actual
        .slice(start, end)
        .flatMap((value, i) => (Number.isNaN(value) ? [] : [Math.abs(value - (forecast[start + i] ?? 0))]));
      return { sum: errors.reduce((sum, error) => sum + error, 0), count: errors.length };
    }),
  );

/** Errors of several forecasts of one series, added up. */
export function addErrors(all: readonly ErrorsByModel[]): ErrorsByModel {
  const total: Record<string, readonly ErrorSum[]> = {};
  for (const [name, errors] of all.flatMap((each) => Object.entries(each))) {
    const before = total[name] ?? [];
    total[name] = errors.map(({ sum, count }, stretch) => ({
      sum: sum + (before[stretch]?.sum ?? 0),
      count: count + (before[stretch]?.count ?? 0),
    }));
  }
  return total;
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
