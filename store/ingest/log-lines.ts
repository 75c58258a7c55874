import type { AccessLogField } from '../../domain/access-log.js';
import { ACCESS_LOG_FIELDS, BadLine } from '../../domain/access-log.js';
import { DroverError } from '../../domain/errors.js';

/** Values of one line, in the order of ACCESS_LOG_FIELDS; undefined where it has none. */
export type LineValues = readonly unknown[];

export interface LineSink {
  /** @throws BadLine */
  count(values: LineValues): void;
  /** @param line number of the line in the log, from 1 on */
  bad(line: number, reason: string, value?: unknown): void;
}

/** Reads whole lines of one format. */
export interface LineReader {
  /**
   * How many bytes from the start of `bytes` are whole records; 0 where the first one has not ended yet.
   *
   * @param seen of the bytes, so many were left of those before; 0 to begin anew
   */
  wholeRecords(bytes: Buffer, seen: number): number;
  /**
   * @param text whole records
   * @param firstLine number of its first line in the log
   * @returns how many lines it has
   */
  read(text: string, firstLine: number, sink: LineSink): number;
}

/** Where each field is found in the log: the name of a column, the path of a property. */
export type FieldMapping = Readonly<Partial<Record<AccessLogField, string>>>;

export const NEWLINE = 0x0a;

export const upToLastNewline = (bytes: Buffer): number => bytes.lastIndexOf(NEWLINE) + 1;

/** Counts one line, and tells of it when it is bad. */
export function countLine(sink: LineSink, line: number, valuesOf: () => LineValues): void {
  try {
    sink.count(valuesOf());
  } catch (error) {
    if (error instanceof BadLine) sink.bad(line, error.message, error.value);
    else if (error instanceof DroverError && error.code === 'InvalidRequest') {
      sink.bad(line, 'its key is of a type that no partition holds');
    } else throw error;
  }
}

/** Calls `each` for every line that is not blank, without its line ending. */
export function eachLine(text: string, firstLine: number, each: (line: string, number: number) => void): number {
  let lines = 0;
  for (let from = 0; from < text.length; lines++) {
    const newline = text.indexOf('\n', from);
    let end = newline < 0 ? text.length : newline;
    const next = newline < 0 ? end : end + 1;
    if (end > from && text.charCodeAt(end - 1) === 13) end--;
    if (end > from) each(text.slice(from, end), firstLine + lines);
    from = next;
  }
  return lines;
}

/** The column of each field, in the order of ACCESS_LOG_FIELDS; -1 for fields that have none. @throws DroverError `InvalidRequest` */
export function columnsOf(
  mapping: FieldMapping,
  defaults: FieldMapping,
  columns: readonly string[],
): readonly number[] {
  return ACCESS_LOG_FIELDS.map((field) => {
    const wanted = mapping[field];
    if (wanted === undefined) return columns.indexOf(defaults[field] ?? '');
    const found = columns.indexOf(wanted);
    if (found >= 0) return found;
    throw new DroverError(
      'InvalidRequest',
      `there is no column "${wanted}" for ${field} (--map); there are: ${columns.join(', ')}`,
    );
  });
}
