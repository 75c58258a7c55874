import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { AccessLogField } from '../../domain/access-log.js';
import { ACCESS_LOG_FIELDS, ACCESS_LOG_FORMATS, LATENCY_UNITS } from '../../domain/access-log.js';
import type { FieldMapping } from '../../store/ingest/log-lines.js';
import type { IngestionRequest, IngestionResult } from '../access-ingestion.js';
import { KEY_TYPES } from '../key-types.js';
import { anomalyTable, topTables } from './access-view.js';
import { durationMs, given, moments, positiveInteger, wholeNumber } from './arguments.js';
import { withControl } from './invocation.js';
import { onlyKeyspace } from './only-keyspace.js';
import { addPatternsCommand } from './patterns.js';
import { count, identified, moment, some } from './presentation.js';

interface IngestOptions extends Omit<IngestionRequest, 'file' | 'badLinesShown' | 'signal' | 'onProgress' | 'onWait'> {
  readonly showBad: number;
}

interface TopOptions {
  readonly keyspace?: string;
  readonly since?: number;
  readonly from?: number;
  readonly to?: number;
  readonly limit: number;
}

const FIELDS = `Fields for --map: ${ACCESS_LOG_FIELDS.join(', ')}. Without a mapping a column of the field's own name is taken, for the key one of
the name of the keyspace's key. Time and key are needed, and a region, by column or by --region; operation, status (failed from 500
on), latency, bytes (read or written) and client (an address) are counted where they are there. clf takes time, client, operation, status
and bytes (of the answer) from where the format has them; its other columns are ident, user, path, protocol, referer and agent.

Examples:
  drover access ingest access.jsonl.gz --keyspace shop.orders --format jsonl --map key=order.customerId,time=ts
  drover access ingest flights.csv --keyspace air.flights --format csv --map key=carrier,region=origin
  zcat logs/*.gz | drover access ingest - --keyspace shop.orders --format clf --region us-east \\
      --map key=path --key-pattern '^/customers/([^/?]+)'`;

export function addAccessCommands(program: Command): void {
  const access = program.command('access').description('access history: what is used, from where, how often');

  addTopCommand(access);
  addPatternsCommand(access);
  addAnomaliesCommand(access);
  access
    .command('ingest <file>')
    .description('count a log from elsewhere into the access history; - is standard input, gzip is recognised')
    .requiredOption('--keyspace <keyspace>', 'whose documents the log is about')
    .addOption(
      new Option('--format <format>', 'of the lines; clf: Common or Combined Log Format')
        .choices(ACCESS_LOG_FORMATS)
        .makeOptionMandatory(),
    )
    .option('--map <field=column,...>', 'where the fields are found', mapping)
    .option('--region <region>', 'of lines that name none')
    .addOption(
      new Option('--key-type <type>', 'type of the key in the documents (default: string; as it is in jsonl)').choices(
        KEY_TYPES,
      ),
    )
    .option('--key-pattern <regexp>', 'its one group is the key; lines without it are about something else')
    .option('--delimiter <character>', 'between the values of csv (default: ,)')
    .addOption(new Option('--latency-unit <unit>', 'default: ms').choices(Object.keys(LATENCY_UNITS)))
    .option('--oldest <time>', 'lines from before are bad (default: 20 years ago)', moments)
    .option('--show-bad <number>', 'bad lines told one by one; all are counted', wholeNumber, 10)
    .addHelpText('after', `\n${FIELDS}`)
    .action(
      withControl<IngestOptions>(async ({ control, options, terminal }, file) => {
        const { ingestAccessLog } = await import('../access-ingestion.js');
        const { keyspace, format, map, region, keyType, keyPattern, delimiter, latencyUnit, oldest, showBad } = options;
        const stopping = new AbortController();
        const stop = () => {
          stopping.abort(new Error('Interrupted. What has been counted is kept: the same command goes on from there.'));
        };
        process.once('SIGINT', stop).once('SIGTERM', stop);
        const bar = progressBar();
        let result: IngestionResult;
        try {
          result = await ingestAccessLog(control, {
            ...{ file, keyspace, format, badLinesShown: showBad, signal: stopping.signal },
            ...given({ map, region, keyType, keyPattern, delimiter, latencyUnit, oldest }),
            onWait: (sentence) => terminal.note(sentence),
            onProgress: ({ lines, bad, bytesRead, size }) => {
              if (!terminal.interactive) return;
              const figures = { lines: count(lines), bad: count(bad) };
              if (bar.isActive) bar.update(bytesRead, figures);
              else bar.start(Math.max(1, size ?? 1), bytesRead, figures);
            },
          });
        } finally {
          bar.stop();
          process.off('SIGINT', stop).off('SIGTERM', stop);
        }
        const nothingFits = result.linesRead > 0 && result.accesses + result.skipped === 0 && result.bad > 0;
        if (!nothingFits) terminal.result({ ingestion: result }, described(result));
        else {
          const message = 'No line could be counted: see whether --format and --map fit the log.';
          terminal.unsuccessful({ ingestion: result }, described(result), message);
        }
      }),
    );
}

function addTopCommand(access: Command): void {
  access
    .command('top')
    .description('busiest partitions with their scores, entities, regions and client networks; what is used together')
    .option('--keyspace <keyspace>', 'of which one; needed where there are several')
    .option('--since <time>', 'how far back to look: 1h, 7d (default: 1h)', durationMs)
    .option('--from <time>', 'begin of the time, ISO 8601', moments)
    .option('--to <time>', 'end of the time, ISO 8601 (default: now)', moments)
    .option('--limit <number>', 'how many of each', positiveInteger, 10)
    .action(
      withControl<TopOptions>(async ({ control, options, terminal }) => {
        const { since, from, to, limit } = options;
        const { topAccesses } = await import('../access-top.js');
        const end = to ?? control.now();
        const begin = from ?? (since === undefined ? undefined : end - since);
        const keyspace = options.keyspace ?? (await onlyKeyspace(control.catalog));
        const report = await topAccesses(control, { keyspace, to: end, atMost: limit, ...given({ from: begin }) });
        terminal.result(report, topTables(report));
      }),
    );
}

function addAnomaliesCommand(access: Command): void {
  access
    .command('anomalies')
    .description('what was not as expected: spikes, other levels, lost traffic; and what was evaluated anew for it')
    .option('--keyspace <keyspace>', 'only of this one')
    .option('--limit <number>', 'how many, newest first', positiveInteger, 20)
    .action(
      withControl<{ keyspace?: string; limit: number }>(async ({ control, options, terminal }) => {
        const { keyspace, limit } = options;
        if (keyspace !== undefined) await control.catalog.keyspaces.get(keyspace);
        const anomalies = await control.catalog.anomalies.list(given({ keyspace }), limit);
        terminal.result({ anomalies: anomalies.map(identified) }, anomalyTable(anomalies));
      }),
    );
}

const progressBar = () =>
  new cliProgress.SingleBar({
    format: '{bar} {percentage} %  {lines} lines, {bad} bad, time left {eta_formatted}',
    barsize: 30,
    stream: process.stderr,
    hideCursor: true,
    noTTYOutput: false,
  });

/** `key=customer,time=ts`. */
function mapping(text: string, earlier: FieldMapping = {}): FieldMapping {
  const pairs = text.split(',').map((pair) => {
    const [, field = '', column = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
    if (!(ACCESS_LOG_FIELDS as readonly string[]).includes(field) || column === '') {
      throw new InvalidArgumentError(`It must be FIELD=COLUMN,... with fields of ${ACCESS_LOG_FIELDS.join(', ')}.`);
    }
    return [field as AccessLogField, column] as const;
  });
  return { ...earlier, ...Object.fromEntries(pairs) };
}

function described(result: IngestionResult): string {
  const { linesRead, linesBefore, lines, accesses, skipped, bad, badLines, records, from, to } = result;
  const before = linesBefore > 0 ? ` ${some(linesBefore, 'line')} had been counted before.` : '';
  return [
    linesRead === 0
      ? `Nothing new:${before === '' ? ' the log is empty.' : before}`
      : `Read ${some(linesRead, 'line')} in ${result.seconds} s (${count(result.linesPerSecond)} a second).${before}`,
    ...(accesses === 0
      ? []
      : [
          `In all ${some(accesses, 'access').replace(/accesss$/, 'accesses')} from ${moment(from)} to ${moment(to)}, in ${some(records, 'record')}.`,
        ]),
    ...(skipped === 0 ? [] : [`${some(skipped, 'line')} of ${count(lines)} were about something else.`]),
    ...(bad === 0 ? [] : [`${some(bad, 'bad line')} of ${count(lines)}, not counted:`]),
    ...badLines.map(({ line, reason }) => `  line ${line}: ${reason}`),
    ...(bad > badLines.length && badLines.length > 0 ? ['  ...'] : []),
  ].join('\n');
}
