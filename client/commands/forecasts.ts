import type { Command } from 'commander';
import { Option } from 'commander';
import { writeFile } from 'node:fs/promises';
import { DroverError } from '../../domain/errors.js';
import type { NodeMeasure } from '../../domain/node-series.js';
import { NODE_MEASURES } from '../../domain/node-series.js';
import type { ControlContext } from '../context.js';
import type { ForecastOnDemand } from '../forecast-on-demand.js';
import type { KeyType } from '../key-types.js';
import { KEY_TYPES } from '../key-types.js';
import type { ShownForecast, ShownSeries } from '../shown-forecast.js';
import type { ForecastSummary } from '../../workflows/messages.js';
import { atLeastZero, durationMs, given } from './arguments.js';
import { forecastPlot } from './forecast-plot.js';
import { withControl } from './invocation.js';
import { count, duration, exactDuration, identified, moment, percent, some, table } from './presentation.js';

interface RunOptions {
  readonly keyspace?: string;
  readonly timeout?: number;
}

interface ShowOptions {
  readonly node?: string;
  readonly measure?: NodeMeasure;
  readonly entity?: string;
  readonly keyType?: KeyType;
  readonly threshold?: number;
  readonly svg?: string;
}

export function addForecastCommands(program: Command): void {
  const forecast = program.command('forecast').description('what the load is expected to be');

  forecast
    .command('run')
    .description('make forecasts now and decide on them, as the schedule does')
    .option('--keyspace <keyspace>', 'only this keyspace')
    .option('--timeout <time>', 'how long to wait (default: 10m)', durationMs)
    .action(
      withControl<RunOptions>(async ({ control, options: { keyspace, timeout: timeoutMs }, terminal }) => {
        const { runForecast } = await import('../forecasts.js');
        const summary = await runForecast(control, given({ keyspace, timeoutMs }));
        terminal.result(summary, describe(summary, 'Decided'));
      }),
    );

  forecast
    .command('show [keyspace] [partition]')
    .description(
      'the newest forecast of a partition, region by region, and how good earlier ones were; or one, made now, of a node or an entity',
    )
    .option('--node <node>', 'of this node, by its probes')
    .addOption(new Option('--measure <what>', 'of the node (default: operations)').choices(Object.keys(NODE_MEASURES)))
    .option('--entity <key>', 'of the documents of the keyspace with this key, hour by hour')
    .addOption(new Option('--key-type <type>', 'type of the key in the documents (default: string)').choices(KEY_TYPES))
    .option(
      '--threshold <number>',
      'requests per window, or what else is forecast; says when, and how likely, it is exceeded',
      atLeastZero,
    )
    .option('--svg <file>', 'also draw it into this file')
    .action(
      withControl<ShowOptions>(async ({ control, options, terminal }, keyspace, partition) => {
        const { threshold, svg } = options;
        const draw = async (forecasts: readonly ShownSeries[]) => {
          if (svg === undefined) return;
          const { forecastSvg } = await import('../forecast-svg.js');
          await writeFile(svg, forecastSvg(forecasts));
          terminal.note(`Drawn into ${svg}.`);
        };
        const made = await onDemand(control, options, keyspace, partition);
        if (made !== undefined) {
          if (made.kind === 'forecast') await draw([made]);
          return terminal.result({ forecasts: [made] }, describeMade(made));
        }
        if (keyspace === undefined || partition === undefined) {
          throw new DroverError('InvalidRequest', 'say a keyspace and a partition, a keyspace and --entity, or --node');
        }
        const { showForecast } = await import('../shown-forecast.js');
        const forecasts = await showForecast(control, keyspace, partition, given({ threshold }));
        await draw(forecasts);
        terminal.result({ forecasts: forecasts.map(identified) }, forecastTables(forecasts));
      }),
    );

  program
    .command('plan')
    .description('say what would be moved now, and change nothing')
    .option('--keyspace <keyspace>', 'only this keyspace')
    .option('--timeout <time>', 'how long to wait (default: 10m)', durationMs)
    .action(
      withControl<RunOptions>(async ({ control, options: { keyspace, timeout: timeoutMs }, terminal }) => {
        const { plan } = await import('../forecasts.js');
        const summary = await plan(control, given({ keyspace, timeoutMs }));
        terminal.result(summary, `${describe(summary, 'Would decide')}\nNothing was changed.`);
      }),
    );
}

function describe({ mode, partitions, forecasts, decisions, stays, note }: ForecastSummary, verb: string): string {
  const made = forecasts > 0 ? `, made ${some(forecasts, 'forecast')}` : '';
  const staying = Object.entries(stays).map(([code, number]) => `${count(number)} ${code}`);
  const waiting = decisions.some(({ state }) => state === 'recommended');
  return [
    `Looked at ${some(partitions, 'partition')}${made} (mode ${mode}).`,
    ...(note === undefined ? [] : [note]),
    `${verb} on ${decisions.length === 0 ? 'no move.' : `${some(decisions.length, 'move')}:`}`,
    ...(decisions.length === 0 ? [] : [decisionTable(decisions)]),
    ...(staying.length === 0 ? [] : [`Partitions that stay, by reason: ${staying.join(', ')}.`]),
    ...(waiting ? ['"drover decision show ID" says why, "drover decision approve ID" lets it begin.'] : []),
  ].join('\n');
}

const decisionTable = (decisions: ForecastSummary['decisions']): string =>
  table(
    decisions,
    [
      { title: 'decision', value: ({ id }) => id },
      { title: 'partition', value: ({ keyspace, partition }) => `${keyspace}/${partition}` },
      { title: 'to', value: ({ target }) => target },
      { title: 'state', value: ({ state }) => state },
      { title: 'why', value: ({ summary }) => summary },
    ],
    '',
  );

interface Step {
  readonly start: Date;
  readonly mean: number | undefined;
  readonly lower: number | undefined;
  readonly upper: number | undefined;
  readonly naive: number | undefined;
}

function forecastTables(forecasts: readonly ShownForecast[]): string {
  if (forecasts.length === 0) return 'There is no forecast of this partition yet; "drover forecast run" makes one.';
  return forecasts.map(forecastTable).join('\n\n');
}

/** Of a node or an entity; undefined where a partition is meant. */
async function onDemand(
  control: ControlContext,
  { node, measure, entity, keyType, threshold }: ShowOptions,
  keyspace: string | undefined,
  partition: string | undefined,
): Promise<ForecastOnDemand | undefined> {
  if (node === undefined && entity === undefined) return undefined;
  const { forecastNode, forecastEntity } = await import('../forecast-on-demand.js');
  if (node !== undefined) {
    if (entity !== undefined || keyspace !== undefined)
      throw new DroverError('InvalidRequest', 'a node has neither keyspace nor entity: leave them out');
    return forecastNode(control, { node, ...given({ measure, threshold }) });
  }
  if (keyspace === undefined || partition !== undefined)
    throw new DroverError('InvalidRequest', 'an entity is one of a keyspace: name that, and no partition');
  return forecastEntity(control, { keyspace, key: entity!, ...given({ keyType, threshold }) });
}

function describeMade(made: ForecastOnDemand): string {
  if (made.kind === 'forecast') return seriesTable(made);
  const { title, windowMs, points, needed } = made;
  return `${title}: too little is known, ${some(points, 'window')} of ${exactDuration(windowMs)} where ${needed} are needed.`;
}

const forecastTable = (forecast: ShownForecast): string =>
  [
    seriesTable(forecast),
    ...(forecast.modelErrors.length === 0 ? [] : [`Errors of the last week's forecasts:`, errorTable(forecast)]),
  ].join('\n');

function seriesTable(forecast: ShownSeries): string {
  const { title, model, madeAt, windowMs, level, mean, lower, upper, naive } = forecast;
  const steps = mean.map((value, i): Step => ({
    start: new Date(madeAt.getTime() + i * windowMs),
    mean: value,
    lower: lower[i],
    upper: upper[i],
    naive: naive[i],
  }));
  const horizon = duration(windowMs * mean.length);
  // Such as processor cores; of requests, parts do not matter.
  const figure = Math.max(...upper) < 10 ? (value: number | undefined) => value?.toFixed(2) : count;
  return [
    `${title}, per ${exactDuration(windowMs)}, for the ${horizon} after ${moment(madeAt)} (model ${model}):`,
    forecastPlot(forecast),
    table(
      steps,
      [
        { title: 'from', value: ({ start }) => moment(start) },
        { title: 'expected', value: (step) => figure(step.mean), right: true },
        {
          title: `${Math.round(level * 100)} % within`,
          value: (step) => `${figure(step.lower)} to ${figure(step.upper)}`,
          right: true,
        },
        { title: 'seasonal naive', value: (step) => figure(step.naive), right: true },
      ],
      'It has no steps.',
    ),
    ...crossingSentence(forecast),
  ].join('\n');
}

function crossingSentence({ threshold, crossing, madeAt, windowMs }: ShownSeries): string[] {
  if (threshold === undefined || crossing === undefined) return [];
  const likely = `with a probability of at most ${percent(crossing.largestProbability)} in one window`;
  return crossing.firstStep === undefined
    ? [`More than ${count(threshold)} are not expected, but come ${likely}.`]
    : [
        `More than ${count(threshold)} from ${moment(new Date(madeAt.getTime() + crossing.firstStep * windowMs))} on, ${likely}.`,
      ];
}

const errorTable = ({ modelErrors }: ShownForecast): string =>
  table(
    modelErrors,
    [
      { title: 'model', value: ({ model }) => model },
      { title: 'mean absolute error', value: ({ error }) => error.toFixed(1), right: true },
      { title: 'windows', value: ({ steps }) => count(steps), right: true },
    ],
    '',
  );
