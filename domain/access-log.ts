/** What a line of an access log says, as its fields are named in a mapping (`--map key=customer,time=ts`). */
export const ACCESS_LOG_FIELDS = [
  'time',
  'key',
  'region',
  'client',
  'operation',
  'status',
  'latency',
  'bytes',
] as const;
export type AccessLogField = (typeof ACCESS_LOG_FIELDS)[number];

export const ACCESS_LOG_FORMATS = ['jsonl', 'csv', 'clf'] as const;
export type AccessLogFormat = (typeof ACCESS_LOG_FORMATS)[number];

/** How a latency is written. */
export const LATENCY_UNITS = { us: 0.001, ms: 1, s: 1000 } as const;
export type LatencyUnit = keyof typeof LATENCY_UNITS;

/** Why a line can't be counted; its message is for people, and has nothing of what the line says. */
export class BadLine extends Error {
  override readonly name = 'BadLine';

  constructor(
    message: string,
    /** What the line says there: to be told, not to be kept. */
    readonly value?: unknown,
  ) {
    super(message);
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const CLF_TIME = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/;
const ISO_TIME = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?$/;
const USUAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/;
const NUMBER = /^-?\d+(\.\d+)?$/;

/**
 * Milliseconds since 1970 of a time as logs have it: ISO 8601 (UTC where it names no zone), the time of the Common Log Format
 * (`10/Oct/2000:13:55:36 -0700`), or a number of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by its size.
 *
 * @throws BadLine
 */
export function parseTime(value: unknown): number {
  const time = typeof value === 'number' ? sinceEpoch(value) : typeof value === 'string' ? timeOfText(value) : NaN;
  if (Number.isFinite(time)) return time;
  if (value === undefined || value === '') throw new BadLine('it has no time');
  throw new BadLine('its time can not be read', value);
}

function timeOfText(text: string): number {
  // Most logs have it like this, on every line: what follows would take longer than all else.
  if (USUAL_TIME.test(text)) return Date.parse(text);
  if (ISO_TIME.test(text)) {
    const iso = text.replace(' UTC', 'Z').replace(',', '.').replace(' ', 'T').replace(' ', '');
    return Date.parse(iso.length > 10 && !/(Z|[+-]\d{2}:?\d{2})$/.test(iso) ? `${iso}Z` : iso);
  }
  const clf = CLF_TIME.exec(text);
  if (clf !== null) {
    const [, day, month, year, hour, minute, second, sign, zoneHours, zoneMinutes] = clf;
    const number = MONTHS.indexOf(month!);
    if (number < 0) return NaN;
    const zone = (sign === '-' ? -1 : 1) * (Number(zoneHours) * 60 + Number(zoneMinutes));
    return Date.UTC(Number(year), number, Number(day), Number(hour), Number(minute), Number(second)) - zone * 60_000;
  }
  return NUMBER.test(text) ? sinceEpoch(Number(text)) : NaN;
}

/** No log is from before 1973 in one unit and from after 5138 in the next smaller one. */
function sinceEpoch(value: number): number {
  if (value < 1e11) return Math.round(value * 1000);
  if (value < 1e14) return Math.round(value);
  return Math.round(value < 1e17 ? value / 1e3 : value / 1e6);
}

const READS = new Set(
  [
    ...['read', 'reads', 'r', 'get', 'head', 'options', 'select', 'query', 'search', 'scan', 'list', 'find', 'findone'],
    ...['aggregate', 'count', 'countdocuments', 'estimateddocumentcount', 'distinct', 'getmore'],
  ].flatMap((name) => [name, name.toUpperCase()]),
);
const WRITES = new Set(
  [
    ...['write', 'writes', 'w', 'post', 'put', 'patch', 'delete', 'insert', 'insertone', 'insertmany', 'create', 'add'],
    ...['update', 'updateone', 'updatemany', 'upsert', 'replace', 'replaceone', 'save', 'set', 'remove', 'deleteone'],
    ...['deletemany', 'findandmodify', 'findoneandupdate', 'findoneandreplace', 'findoneanddelete', 'bulkwrite'],
  ].flatMap((name) => [name, name.toUpperCase()]),
);

/**
 * Whether an operation reads or writes, by the names that HTTP, SQL and MongoDB give to it; a log that has none tells of reads.
 *
 * @throws BadLine
 */
export function parseOperation(value: unknown): 'reads' | 'writes' {
  if (value === undefined || value === null || value === '') return 'reads';
  if (typeof value === 'string') {
    if (READS.has(value)) return 'reads';
    if (WRITES.has(value)) return 'writes';
    const lower = value.trim().toLowerCase();
    if (READS.has(lower)) return 'reads';
    if (WRITES.has(lower)) return 'writes';
  }
  throw new BadLine('its operation is known neither as a read nor as a write', value);
}

const FINE = new Set(['ok', 'success', 'succeeded', 'true', 'done', '-', '']);
const FAILED = new Set(['error', 'fail', 'failed', 'failure', 'timeout', 'false', 'aborted']);

/**
 * Whether a request failed at the server: a status of HTTP from 500 on, or a word that says so. One that a client got wrong (400 to
 * 499) has been answered.
 *
 * @throws BadLine
 */
export function parseFailed(value: unknown): boolean {
  if (value === undefined || value === null || value === true) return false;
  if (value === false) return true;
  const text = typeof value === 'number' ? value : typeof value === 'string' ? value.trim().toLowerCase() : NaN;
  if (typeof text === 'number' || NUMBER.test(text)) {
    const status = Number(text);
    if (Number.isFinite(status)) return status >= 500;
  } else if (FINE.has(text)) return false;
  else if (FAILED.has(text)) return true;
  throw new BadLine('its status is neither a number nor a word for success or failure', value);
}

/**
 * @returns undefined where the line tells none
 * @throws BadLine
 */
export function parseLatency(value: unknown, unit: LatencyUnit): number | undefined {
  if (value === undefined || value === null || value === '' || value === '-') return undefined;
  const number = typeof value === 'number' ? value : typeof value === 'string' ? Number(value) : NaN;
  if (!(Number.isFinite(number) && number >= 0)) throw new BadLine('its latency is not a number, 0 or more', value);
  return number * LATENCY_UNITS[unit];
}

/** @returns undefined where the line tells none, or something else of that name: it is an access all the same */
export function parseBytes(value: unknown): number | undefined {
  if (value === undefined || value === null || value === '' || value === '-') return undefined;
  const number = typeof value === 'number' ? value : typeof value === 'string' ? Number(value) : NaN;
  return number >= 0 && number <= Number.MAX_SAFE_INTEGER ? number : undefined;
}

const LONGEST_QUOTE = 40;

/** For a message: short, and on one line. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}...` : text;
}
