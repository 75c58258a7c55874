import { BSON } from 'mongodb';
import { accessBucketMs } from '../config/index.js';
import type { AccessLogFormat, LatencyUnit } from '../domain/access-log.js';
import { ACCESS_LOG_FIELDS } from '../domain/access-log.js';
import { DroverError } from '../domain/errors.js';
import { AccessBatch } from '../store/ingest/access-batch.js';
import { commonLog, COMMON_LOG_COLUMNS } from '../store/ingest/common-log.js';
import { Content } from '../store/ingest/content.js';
import { csv, csvHeader } from '../store/ingest/csv.js';
import type { IngestionReport } from '../store/ingest/ingestion.js';
import { Ingestion } from '../store/ingest/ingestion.js';
import { jsonLines } from '../store/ingest/json-lines.js';
import type { FieldMapping, LineReader } from '../store/ingest/log-lines.js';
import { columnsOf } from '../store/ingest/log-lines.js';
import { recognise } from '../store/ingest/recognise.js';
import type { BadLineNote, IngestionDocument } from '../store/catalog/ingestions.js';
import type { ControlContext } from './context.js';
import type { KeyType } from './key-types.js';
import { KEY_READERS } from './key-readers.js';

export interface IngestionRequest {
  /** Its path; `-` is standard input. Compressed by gzip or not. */
  readonly file: string;
  readonly format: AccessLogFormat;
  readonly keyspace: string;
  /** Where the fields are found: columns of CSV, properties or dotted paths of JSON, what the Common Log Format calls them. */
  readonly map?: FieldMapping;
  /** Of lines that name no region. */
  readonly region?: string;
  /** Type of the key in the documents. Default: the one it has in JSON; string in other formats. */
  readonly keyType?: KeyType;
  /** Regular expression with one group: that part of the text is the key. Lines that don't match are about something else. */
  readonly keyPattern?: string;
  /** Of CSV. Default `,`. */
  readonly delimiter?: string;
  /** Default `ms`. */
  readonly latencyUnit?: LatencyUnit;
  /** No line is from before this time, milliseconds since 1970. Default: 20 years ago. */
  readonly oldest?: number;
  /** Bad lines that are told one by one. Default 10. */
  readonly badLinesShown?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: IngestionFigures) => void;
  readonly onWait?: (sentence: string) => void;
}

export interface IngestionFigures {
  readonly lines: number;
  readonly bad: number;
  readonly bytesRead: number;
  /** Of the file as it is stored; undefined for standard input. */
  readonly size: number | undefined;
}

/** How a log stands after a run: all figures are of the whole log, but those that say otherwise. */
export interface IngestionResult {
  readonly keyspace: string;
  readonly file: string;
  /** Lines of this run; those before it had been counted by earlier ones. */
  readonly linesRead: number;
  readonly linesBefore: number;
  readonly lines: number;
  readonly accesses: number;
  /** Lines about something else: their key does not match the pattern. */
  readonly skipped: number;
  readonly bad: number;
  /** The first ones; those of this run with what they say, which is kept nowhere. */
  readonly badLines: readonly BadLineNote[];
  readonly records: number;
  readonly from: Date | null;
  readonly to: Date | null;
  /** Of this run. */
  readonly seconds: number;
  readonly linesPerSecond: number;
}

/**
 * Counts a log of accesses into a keyspace's access history, as if routers had seen them. What has been counted of the same
 * content, or of a shorter or longer version of it, is not counted again; a run that broke off is continued by the next.
 *
 * @throws DroverError `InvalidRequest` before anything is touched when a file, a keyspace or an option is wrong; `Refused` when another
 *   process is at the same log
 */
export async function ingestAccessLog(context: ControlContext, request: IngestionRequest): Promise<IngestionResult> {
  const startedAt = performance.now();
  const { catalog } = context;
  const { keyspace, file, signal = new AbortController().signal, onProgress, onWait = () => undefined } = request;
  const now = Math.max(context.now(), Date.now());
  const { dimensions } = await catalog.keyspaces.get(keyspace);
  const partitions = await catalog.partitions.list(keyspace);
  const lines = linesOf(request, dimensions[0].field);
  const settings = JSON.stringify(settingsOf(request));
  const content = await Content.open(file);
  try {
    if (lines.header !== undefined) {
      // A column that is not there is found out before anything is written.
      const first = await content.read();
      if (first !== undefined) {
        lines.readerFor(lines.header(first.toString('utf8').split('\n')[0]!));
        content.unread(first);
      }
    }
    const recognised = await recognise(content, (first) => catalog.ingestions.candidates(keyspace, first));
    if (recognised.kind === 'shorter') {
      const { ingestion } = recognised;
      return resultOf({ ingestion, linesBefore: ingestion.lines, badLines: ingestion.badLines }, startedAt);
    }
    if (recognised.kind === 'continued') requireSameSettings(recognised.ingestion, settings);
    const batch = new AccessBatch({
      keyspace,
      partitions,
      bucketMs: accessBucketMs(context.configuration.policy),
      region: request.region,
      latencyUnit: request.latencyUnit ?? 'ms',
      bytesAreOfAnswers: request.format === 'clf',
      keyOf: keyReader(request),
      now,
      oldest: request.oldest,
    });
    const ingestion = new Ingestion(catalog, content, {
      keyspace,
      file,
      settings,
      badLinesShown: request.badLinesShown ?? 10,
      ...lines,
      batch,
      signal,
      onProgress: (progress) => onProgress?.({ ...progress, size: content.size }),
      onWait,
    });
    return resultOf(await ingestion.run(recognised), startedAt);
  } finally {
    await content.close();
  }
}

interface Lines {
  readonly header?: (firstLine: string) => string[];
  readonly readerFor: (columns: readonly string[] | undefined) => LineReader;
}

/** @throws DroverError `InvalidRequest` */
function linesOf({ format, map = {}, region, delimiter = ',' }: IngestionRequest, keyField: string): Lines {
  const defaults: FieldMapping = {
    ...Object.fromEntries(ACCESS_LOG_FIELDS.map((field) => [field, field])),
    key: keyField,
  };
  if (delimiter.length !== 1 || delimiter === '"' || delimiter === '\n') {
    throw new DroverError('InvalidRequest', 'the delimiter must be one character, such as "," or ";"');
  }
  if (format === 'jsonl') return { readerFor: () => jsonLines(map, defaults) };
  if (format === 'clf') {
    requireMapped('key', map.key, `none of its own (it has ${COMMON_LOG_COLUMNS.join(', ')})`);
    if (map.region === undefined)
      requireMapped('region', region, 'none; --region NAME says where its requests came from');
    const reader = commonLog(map);
    return { readerFor: () => reader };
  }
  return {
    header: (firstLine) => csvHeader(firstLine, delimiter),
    readerFor: (columns = []) => {
      const fields = columnsOf(map, defaults, columns);
      for (const field of ['time', 'key', ...(region === undefined ? ['region' as const] : [])] as const) {
        const column = fields[ACCESS_LOG_FIELDS.indexOf(field)]!;
        if (column < 0) requireMapped(field, undefined, `only ${columns.join(', ')}`);
      }
      return csv(columns.length, fields, delimiter);
    },
  };
}

function requireMapped(field: string, given: string | undefined, has: string): void {
  if (given !== undefined) return;
  throw new DroverError(
    'InvalidRequest',
    `the log has no column for the ${field}: ${has}; name one by --map ${field}=COLUMN`,
  );
}

/** What decides how a line is counted. */
const settingsOf = ({ format, map, region, keyType, keyPattern, delimiter, latencyUnit }: IngestionRequest) => ({
  format,
  map: Object.fromEntries(Object.entries(map ?? {}).sort()),
  ...{ region, keyType, keyPattern, delimiter, latencyUnit },
});

function requireSameSettings({ file, settings, lines }: IngestionDocument, now: string): void {
  if (settings === now) return;
  throw new DroverError(
    'InvalidRequest',
    `${lines} lines of it have been ingested (as ${file}) with other options, ${settings}: the rest is read with the same ones`,
  );
}

/** @throws DroverError `InvalidRequest` */
function keyReader({ format, keyType, keyPattern }: IngestionRequest): (value: unknown) => unknown {
  const typed = keyType === undefined ? (format === 'jsonl' ? asInJson : String) : KEY_READERS[keyType];
  if (keyPattern === undefined) return typed;
  let pattern: RegExp;
  try {
    pattern = new RegExp(keyPattern, 'u');
  } catch (error) {
    throw new DroverError(
      'InvalidRequest',
      `the pattern of the key is no regular expression: ${(error as Error).message}`,
    );
  }
  if (new RegExp(`${keyPattern}|`, 'u').exec('')!.length !== 2) {
    throw new DroverError('InvalidRequest', 'the pattern of the key must have one group, which matches the key');
  }
  return (value) => {
    const found = pattern.exec(String(value))?.[1];
    return found === undefined ? undefined : typed(found);
  };
}

/** Extended JSON, such as `{"$oid": "..."}`, stands for what it says. */
const asInJson = (value: unknown): unknown =>
  typeof value === 'object' ? (BSON.EJSON.deserialize({ value }) as { value: unknown }).value : value;

function resultOf({ ingestion, linesBefore, badLines }: IngestionReport, startedAt: number): IngestionResult {
  const { keyspace, file, lines, accesses, skipped, bad, records, from = null, to = null } = ingestion;
  const seconds = (performance.now() - startedAt) / 1000;
  const linesRead = lines - linesBefore;
  return {
    ...{ keyspace, file, linesRead, linesBefore, lines, accesses, skipped, bad, badLines, records, from, to },
    seconds: Math.round(seconds * 1000) / 1000,
    linesPerSecond: Math.round(linesRead / seconds),
  };
}
