import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import type { LogLevel } from './schema.js';
import type { Secrets } from './secrets.js';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** Component that logs, such as `worker`. */
  readonly name: string;
  readonly level: LogLevel;
  readonly secrets: Secrets;
  /** Standard error by default: standard output belongs to what commands print. */
  readonly destination?: DestinationStream;
}

/**
 * The one logger: a JSON object per line, without secrets. Every text in a line is redacted after the line is
 * complete, whether it came as message, argument, field, child binding or error, so that nothing can get past it.
 *
 * @example
 * const logger = createLogger({ name: 'worker', level: configuration.log.level, secrets });
 * logger.error({ err: error, partition: 'p3' }, 'cannot copy');
 */
export function createLogger({ name, level, secrets, destination }: LoggerOptions): Logger {
  return pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: withErrors },
      // `withErrors` has serialized errors already, wherever they stand.
      serializers: { err: (value: unknown) => value },
      hooks: { streamWrite: (line) => redactLine(line, secrets) },
    },
    // Synchronous: the last lines before a crash are the ones that are needed.
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

/** A text in JSON. Numbers are left alone: parsing the line would round tokens, which have 64 bits. */
const JSON_TEXT = /"(?:[^"\\]|\\.)*"/g;

function redactLine(line: string, secrets: Secrets): string {
  return line.replace(JSON_TEXT, (quoted) => {
    const text = JSON.parse(quoted) as string;
    const redacted = secrets.redact(text);
    return redacted === text ? quoted : JSON.stringify(redacted);
  });
}

/** Errors at any depth as objects with type, message and stack: JSON alone would write them as `{}`. */
function withErrors(fields: Record<string, unknown>): Record<string, unknown> {
  return serialized(fields, new Set()) as Record<string, unknown>;
}

function serialized(value: unknown, above: ReadonlySet<unknown>): unknown {
  if (value instanceof Error) return stdSerializers.err(value);
  if (typeof value !== 'object' || value === null || above.has(value)) return value;
  const within = new Set([...above, value]);
  if (Array.isArray(value)) return value.map((entry) => serialized(entry, within));
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, serialized(entry, within)]));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
