import type { Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import type { ShownForecast } from '../shown-forecast.js';
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
    .command('show <keyspace> <partition>')
    .description('the newest forecast of a partition, region by region, and how good earlier ones were')
    .option('--threshold <requests>', 'requests per window; says when, and how likely, they are exceeded', atLeastZero)
    .option('--svg <file>', 'also draw it into this file')
    .action(
      withControl<ShowOptions>(async ({ control, options: { threshold, svg }, terminal }, keyspace, partition) => {
        const { showForecast } = await import('../shown-forecast.js');
        const forecasts = await showForecast(control, keyspace, partition, given({ threshold }));
        if (svg !== undefined) {
          const { forecastSvg } = await import('../forecast-svg.js');
          await writeFile(svg, forecastSvg(forecasts));
          terminal.note(`Drawn into ${svg}.`);
        }
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

function forecastTable(forecast: ShownForecast): string {
  const { region, model, madeAt, windowMs, level, mean, lower, upper, naive } = forecast;
  const steps = mean.map((value, i): Step => ({
    start: new Date(madeAt.getTime() + i * windowMs),
    mean: value,
    lower: lower[i],
    upper: upper[i],
    naive: naive[i],
  }));
  const horizon = duration(windowMs * mean.length);
  return [
    `Requests from ${region}, per ${exactDuration(windowMs)}, for the ${horizon} after ${moment(madeAt)} (model ${model}):`,
    forecastPlot(forecast),
    table(
      steps,
      [
        { title: 'from', value: ({ start }) => moment(start) },
        { title: 'expected', value: (step) => count(step.mean), right: true },
        {
          title: `${Math.round(level * 100)} % within`,
          value: (step) => `${count(step.lower)} to ${count(step.upper)}`,
          right: true,
        },
        { title: 'seasonal naive', value: (step) => count(step.naive), right: true },
      ],
      'It has no steps.',
    ),
    ...crossingSentence(forecast),
    ...(forecast.modelErrors.length === 0 ? [] : [`Errors of the last week's forecasts:`, errorTable(forecast)]),
  ].join('\n');
}

function crossingSentence({ threshold, crossing, madeAt, windowMs }: ShownForecast): string[] {
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
