import Papa from 'papaparse';
import { BadLine } from '../../domain/access-log.js';
import { CsvCut } from './csv-cut.js';
import type { LineReader, LineSink } from './log-lines.js';
import { countLine } from './log-lines.js';

/** Lines that one record may go over, where a piece has broken quotes. */
const MOST_LINES = 100;

/**
 * Comma-separated values (RFC 4180): values may be quoted, and have line breaks in quotes.
 *
 * @param columns number of values in a line
 * @param fields the column of each field, -1 for none
 */
export function csv(columns: number, fields: readonly number[], delimiter: string): LineReader {
  const countRow = (sink: LineSink, line: number, row: readonly string[]) =>
    countLine(sink, line, () => {
      if (row.length !== columns) throw new BadLine(`it has ${row.length} values instead of ${columns}`);
      return fields.map((column) => (column < 0 ? undefined : row[column]));
    });

  /** Where quotes are broken: each line that is no record, nor the beginning of one, is bad. */
  const readOneByOne = (text: string, firstLine: number, sink: LineSink): number => {
    const lines = text.split('\n');
    if (lines.at(-1) === '') lines.pop();
    for (let at = 0; at < lines.length;) {
      const found = recordFrom(lines, at, delimiter);
      if (found === undefined) sink.bad(firstLine + at, 'its quotation marks do not match');
      else if (lines[at] !== '') countRow(sink, firstLine + at, found.row);
      at += found?.lines ?? 1;
    }
    return lines.length;
  };

  const cut = new CsvCut(delimiter);
  return {
    wholeRecords: (bytes, seen) => cut.wholeRecords(bytes, seen),
    read: (text, firstLine, sink) => {
      const plain = text.includes('\r') ? text.replaceAll('\r\n', '\n') : text;
      const isQuoted = plain.includes('"');
      const { data, errors } = rowsOf(plain, delimiter);
      if (errors.some(({ type }) => type === 'Quotes')) return readOneByOne(plain, firstLine, sink);
      let line = firstLine;
      for (const [i, row] of data.entries()) {
        const isBlank = row.length === 1 && row[0] === '';
        // What comes after the last line ending is no line.
        if (isBlank && i === data.length - 1) break;
        if (!isBlank) countRow(sink, line, row);
        line += 1 + (isQuoted ? lineBreaksIn(row) : 0);
      }
      return line - firstLine;
    },
  };
}

/** The names of the columns: the first record. */
export function csvHeader(text: string, delimiter: string): string[] {
  const [first = []] = rowsOf(text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n'), delimiter).data;
  return first.map((name) => name.trim());
}

function recordFrom(
  lines: readonly string[],
  at: number,
  delimiter: string,
): { readonly row: readonly string[]; readonly lines: number } | undefined {
  let text = '';
  for (let count = 1; count <= MOST_LINES && at + count <= lines.length; count++) {
    const line = lines[at + count - 1]!;
    text += (count === 1 ? '' : '\n') + line;
    // Nothing is closed without one.
    if (count > 1 && !line.includes('"')) continue;
    const { data, errors } = rowsOf(text, delimiter);
    if (errors.every(({ type }) => type !== 'Quotes')) {
      return data.length === 1 ? { row: data[0]!, lines: count } : undefined;
    }
    // Only quotes that are still open can be closed by what follows.
    if (errors.some(({ code }) => code === 'InvalidQuotes')) return undefined;
  }
  return undefined;
}

const rowsOf = (text: string, delimiter: string): Papa.ParseResult<string[]> =>
  Papa.parse<string[]>(text, { delimiter, newline: '\n' });

function lineBreaksIn(row: readonly string[]): number {
  let breaks = 0;
  for (const value of row) {
    for (let at = value.indexOf('\n'); at >= 0; at = value.indexOf('\n', at + 1)) breaks++;
  }
  return breaks;
}
