import Table from 'cli-table3';
import ms from 'ms';

/** How figures look to people. Machines get them plain, by --json. */

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null | undefined;
  /** Figures stand at the right. */
  readonly right?: boolean;
}

/** Rows under headings, without lines, so that grep and awk work; `none` when there are no rows. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], none: string): string {
  if (rows.length === 0) return none;
  const lines = plainTable(columns.map(({ right }) => (right === true ? 'right' : 'left')));
  lines.push(columns.map(({ title }) => title.toUpperCase()));
  lines.push(...rows.map((row) => columns.map(({ value }) => text(value(row)))));
  return rendered(lines);
}

/** A name and a value a line; those without a value are left out. */
export function facts(pairs: readonly (readonly [name: string, value: string | number | undefined])[]): string {
  const lines = plainTable(['left', 'left']);
  lines.push(...pairs.filter(([, value]) => value !== undefined).map(([name, value]) => [name, text(value)]));
  return rendered(lines);
}

const text = (value: string | number | null | undefined): string =>
  value === null || value === undefined || value === '' ? '-' : String(value);

const BORDERS = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
const RULES = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];

const plainTable = (colAligns: ('left' | 'right')[]) =>
  new Table({
    chars: { ...Object.fromEntries([...BORDERS, ...RULES].map((place) => [place, ''])), middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns,
  });

const rendered = (lines: Table.Table): string => lines.toString().replace(/ +$/gm, '');

export const count = (value: number | null | undefined): string | undefined =>
  // Without the sign that a rounded 0 keeps.
  value === null || value === undefined ? undefined : (Math.round(value) + 0).toLocaleString('en-US');

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `8.1 MB`, in units of powers of 1000; of what became smaller, `-8.1 MB`. */
export function size(bytes: number | null | undefined): string | undefined {
  if (bytes === null || bytes === undefined) return undefined;
  const unit = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, Math.abs(bytes))) / 3)));
  const value = bytes / 1000 ** unit;
  return `${unit === 0 || Math.abs(value) >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `~8.1 MB` */
export const about = (text: string | undefined): string | undefined => (text === undefined ? undefined : `~${text}`);

/** Exactly, in the largest unit that fits: `30s`, `90m`. drover.yaml takes it back. */
export function exactDuration(milliseconds: number): string {
  const units: readonly (readonly [string, number])[] = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ];
  const fitting = units.find(([, length]) => milliseconds > 0 && milliseconds % length === 0);
  return fitting === undefined ? `${milliseconds}ms` : `${milliseconds / fitting[1]}${fitting[0]}`;
}

/** About: `3m`, `2h`. */
export const duration = (milliseconds: number): string => ms(Math.max(0, Math.round(milliseconds)));

/** `3m ago`. */
export const ago = (time: Date | null | undefined, now = Date.now()): string | undefined =>
  time === null || time === undefined ? undefined : `${duration(now - time.getTime())} ago`;

/** `2013-01-05 07:00:00 UTC`. */
export const moment = (time: Date | null | undefined): string | undefined =>
  time === null || time === undefined ? undefined : `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;

export const milliseconds = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** A score: `0.73`. */
export const fraction = (value: number | null | undefined): string | undefined => value?.toFixed(2);

export const percent = (share: number | undefined): string | undefined =>
  share === undefined ? undefined : `${Math.round(share * 100)} %`;

/** `1 move`, `2 moves`. */
export const some = (number: number, what: string): string => `${count(number)} ${what}${number === 1 ? '' : 's'}`;

/** A document of the catalog under the name that everything else calls its id by. */
export const identified = <Document extends { readonly _id: string }>({
  _id: id,
  ...rest
}: Document): { readonly id: string } & Omit<Document, '_id'> => ({ id, ...rest });
