import { userInfo } from 'node:os';
import { InvalidArgumentError, Option } from 'commander';
import ms from 'ms';
import type { CopyLimits } from '../../domain/copy-limits.js';
import { isLimit, LEAST_LIMITS } from '../../domain/copy-limits.js';

/** Parsers of what is typed: commander puts the sentence after the option's name, and the exit code is 2. */

export function positiveInteger(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1 || !Number.isSafeInteger(Number(text))) {
    throw new InvalidArgumentError('It must be a whole number above 0.');
  }
  return Number(text);
}

export function wholeNumber(text: string): number {
  return text === '0' ? 0 : positiveInteger(text);
}

export function atLeastZero(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It must be a number, 0 or more.');
  return Number(text);
}

const limit =
  (name: keyof CopyLimits) =>
  (text: string): number => {
    const value = atLeastZero(text);
    if (isLimit(name, value)) return value;
    throw new InvalidArgumentError(`It must be ${LEAST_LIMITS[name]} or more, or 0 for no limit.`);
  };

/** Megabytes a second. */
export const copyRate = limit('maxMegabytesPerSecond');

/** Documents a second. */
export const documentRate = limit('maxDocumentsPerSecond');

/** `1,5,25,50,100`. That they rise to 100 is checked where they are used. */
export function weights(text: string): readonly number[] {
  const numbers = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  if (numbers.some((number) => !Number.isFinite(number))) {
    throw new InvalidArgumentError('It must be percentages with commas between them, such as 1,5,25,50,100.');
  }
  return numbers;
}

/** Milliseconds of `30s`, `10m`, `1h`. */
export function durationMs(text: string): number {
  const parsed = /^\d+(\.\d+)? ?[a-z]*$/i.test(text) ? (ms(text as ms.StringValue) as number | undefined) : undefined;
  if (parsed === undefined) throw new InvalidArgumentError('It must be a length of time, such as 30s, 10m or 1h.');
  return parsed;
}

/** Milliseconds since 1970 of `2026-01-31` or `2026-01-31T12:00:00Z`. */
export function moments(text: string): number {
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) throw new InvalidArgumentError('It must be a time, such as 2026-01-31T12:00:00Z.');
  return time;
}

/** `control,data`. */
export function listOf<Name extends string>(names: readonly Name[]): (text: string) => readonly Name[] {
  return (text) => {
    const chosen = text.split(',').map((part) => part.trim());
    const isName = (part: string): part is Name => (names as readonly string[]).includes(part);
    if (!chosen.every(isName))
      throw new InvalidArgumentError(`It must be of ${names.join(', ')}, with commas between.`);
    return chosen;
  };
}

/** Who asks, for the record. */
export const byOption = (): Option =>
  new Option('--by <name>', 'who asks, for the record (default: your user name)').default(userName(), '');

export interface By {
  readonly by: string;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container, the number may have no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** Options that were given: an absent one must not become a key with the value undefined. */
export function given<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
