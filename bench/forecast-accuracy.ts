import { writeFile } from 'node:fs/promises';
import { percent, table } from '../client/commands/presentation.js';
import { familiesNamed, modelsFor } from '../forecasting/models.js';
import { SEASONAL_NAIVE } from '../forecasting/seasonal-naive.js';
import type { BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import { realSeries } from './real-series.js';
import { brierScore, calibrationError, reliabilityOf, reliabilitySvg, reliabilityTable } from './reliability.js';
import type { Evaluation } from './rolling-evaluation.js';
import { AUTOMATIC, evaluate, geometricMean, LEVELS } from './rolling-evaluation.js';

const HOURS = [1, 6, 24];
const ORIGINS = 8;

/** An hour ahead there are few steps: more origins, so that chance counts less. */
const ORIGINS_OF_AN_HOUR = 48;

/** Errors relative to the seasonal naive, coverage and calibration, on real series; beside them, these families' errors. */
export async function forecastAccuracy({ say, svg }: BenchOptions, names: readonly string[]): Promise<Comparison[]> {
  const all = await realSeries();
  const families = await familiesNamed(names);
  const results: Comparison[] = [];
  const crossings: Evaluation['crossings'][number][] = [];
  for (const hours of HOURS) {
    const evaluations = all.map((series) =>
      evaluate(series, hours, hours === 1 ? ORIGINS_OF_AN_HOUR : ORIGINS, modelsFor(families, series.seasons)),
    );
    say(`\n${hours} h ahead\n${perSeries(evaluations)}\n${perModel(evaluations)}`);
    for (const half of ['tuning', 'held-out'] as const) {
      results.push(
        ...compared(
          hours,
          half,
          evaluations.filter(({ series }) => series.half === half),
        ),
      );
    }
    crossings.push(...evaluations.filter(({ series }) => series.half === 'held-out').flatMap((each) => each.crossings));
  }
  const bins = reliabilityOf(crossings);
  say(
    [
      '\nprobability of lying above the median, 75 % and 90 % quantile of the history, held-out half',
      reliabilityTable(bins),
      `mean distance ${percent(calibrationError(bins))}, Brier score ${brierScore(crossings).toFixed(3)}`,
    ].join('\n'),
  );
  if (svg !== undefined) {
    await writeFile(svg, reliabilitySvg(bins, 'Crossing probabilities, held-out series, 1 to 24 h ahead'));
    say(`drawn into ${svg}`);
  }
  return results;
}

const relative = ({ errors }: Evaluation, model: string): number => errors.get(model)! / errors.get(SEASONAL_NAIVE)!;

const scaled = ({ errors, scale }: Evaluation, model: string): number => errors.get(model)! / scale;

function compared(hours: number, half: string, evaluations: readonly Evaluation[]): Comparison[] {
  const what = (name: string, unit: string, against = 'seasonal naive') => ({
    case: `${name}, ${hours} h ahead, ${half} half of the series`,
    against,
    unit,
  });
  const errors = evaluations.map((each) => relative(each, AUTOMATIC));
  const steps = evaluations.reduce((sum, each) => sum + each.steps, 0);
  return [
    ...(['metric', 'accesses'] as const).map((kind) => {
      const ofKind = evaluations.filter(({ series }) => series.kind === kind).map((each) => relative(each, AUTOMATIC));
      const round = { drover: geometricMean(ofKind), baseline: 1 };
      return comparison(what(`error of ${kind}, geometric mean`, 'relative'), 'lower', [round]);
    }),
    comparison(what('error, geometric mean', 'relative'), 'lower', [{ drover: geometricMean(errors), baseline: 1 }]),
    comparison(
      what('error, series by series', 'relative'),
      'lower',
      errors.map((error) => ({ drover: error, baseline: 1 })),
    ),
    comparison(
      what('MASE, series by series', 'MASE'),
      'lower',
      evaluations.map((each) => ({ drover: scaled(each, AUTOMATIC), baseline: scaled(each, SEASONAL_NAIVE) })),
    ),
    ...LEVELS.map((level) => {
      const inside = evaluations.reduce((sum, each) => sum + (each.inside.get(level) ?? 0), 0);
      const round = { drover: (100 * inside) / steps, baseline: 100 * level };
      return comparison(what(`coverage of the ${100 * level} % interval`, '%', 'its level'), 'higher', [round]);
    }),
  ];
}

const figure = (value: number | undefined): string | undefined =>
  value === undefined || Number.isNaN(value) ? undefined : value.toFixed(2);

const perSeries = (evaluations: readonly Evaluation[]): string =>
  table(
    evaluations,
    [
      { title: 'series', value: ({ series }) => series.name },
      { title: 'half', value: ({ series }) => series.half },
      { title: 'error', value: (each) => figure(relative(each, AUTOMATIC)), right: true },
      { title: 'MASE', value: (each) => figure(scaled(each, AUTOMATIC)), right: true },
      { title: 'best model', value: (each) => best(each), right: true },
      ...LEVELS.map((level) => ({
        title: `in ${100 * level} %`,
        value: (each: Evaluation) => percent((each.inside.get(level) ?? 0) / each.steps),
        right: true,
      })),
    ],
    '',
  );

function best(evaluation: Evaluation): string {
  const single = [...evaluation.errors.keys()].filter((name) => name !== AUTOMATIC);
  const errors = single.map((name) => ({ name, error: relative(evaluation, name) }));
  const [first] = errors.sort((a, b) => a.error - b.error);
  return `${first!.name} ${figure(first!.error)}`;
}

/** Geometric means over the series that the model is for. */
function perModel(evaluations: readonly Evaluation[]): string {
  const names = [...new Set(evaluations.flatMap(({ errors }) => [...errors.keys()]))];
  const over = (half: string, of: (each: Evaluation, model: string) => number) => (model: string) => {
    const found = evaluations.filter(({ series, errors }) => series.half === half && errors.has(model));
    return figure(geometricMean(found.map((each) => of(each, model))));
  };
  return table(
    names,
    [
      { title: 'model', value: (name) => name },
      { title: 'tuning', value: over('tuning', relative), right: true },
      { title: 'held-out', value: over('held-out', relative), right: true },
      { title: 'MASE tuning', value: over('tuning', scaled), right: true },
      { title: 'held-out', value: over('held-out', scaled), right: true },
    ],
    '',
  );
}
