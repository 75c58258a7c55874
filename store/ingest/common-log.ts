import { BadLine } from '../../domain/access-log.js';
import type { FieldMapping, LineReader } from './log-lines.js';
import { columnsOf, countLine, eachLine, upToLastNewline } from './log-lines.js';

/** What a line of the Common and the Combined Log Format has: the last two in the combined one only. */
export const COMMON_LOG_COLUMNS = [
  ...['host', 'ident', 'user', 'time', 'method', 'path', 'protocol', 'status', 'bytes', 'referer', 'agent'],
] as const;

const LINE =
  /^(\S+) (\S+) (.+?) \[([^\]]+)\] "(?:([A-Z]+) (\S*)(?: (HTTP\/[\d.]+))?|(?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?(?: .*)?$/;

const DEFAULTS: FieldMapping = {
  ...{ time: 'time', client: 'host', operation: 'method', status: 'status', bytes: 'bytes' },
};
/** Where nothing is written for no bytes, and not because they are unknown. */
const BYTES = COMMON_LOG_COLUMNS.indexOf('bytes');

/**
 * The Common Log Format and the Combined one, as web servers and proxies write them; what follows on the line is left out.
 *
 * @throws DroverError `InvalidRequest` where a field is mapped to what the format does not have
 */
export function commonLog(mapping: FieldMapping): LineReader {
  const fields = columnsOf(mapping, DEFAULTS, COMMON_LOG_COLUMNS);
  const valuesOf = (line: string): unknown[] => {
    const match = LINE.exec(line);
    if (match === null) throw new BadLine('it is not in the Common or Combined Log Format');
    return fields.map((column) => {
      const value = column < 0 ? undefined : match[column + 1];
      if (value !== '-') return value;
      return column === BYTES ? 0 : undefined;
    });
  };
  return {
    wholeRecords: upToLastNewline,
    read: (text, firstLine, sink) =>
      eachLine(text, firstLine, (line, number) => countLine(sink, number, () => valuesOf(line))),
  };
}
