import { ObjectId } from 'mongodb';
import { BadLine, parseTime } from '../domain/access-log.js';
import type { KeyType } from './key-types.js';

/** Keys as the application stores them, of what a log or a person says. They throw BadLine for what is none. */
export const KEY_READERS: Readonly<Record<KeyType, (value: unknown) => unknown>> = {
  string: String,
  number: (value) => {
    const number = typeof value === 'string' && value.trim() === '' ? NaN : Number(value);
    if (Number.isFinite(number)) return number;
    throw new BadLine('the key is not a number', value);
  },
  objectId: (value) => {
    const text = typeof value === 'object' && value !== null && '$oid' in value ? value.$oid : value;
    if (typeof text === 'string' && ObjectId.isValid(text) && text.length === 24) return new ObjectId(text);
    throw new BadLine('the key is not an ObjectId', value);
  },
  date: (value) => new Date(parseTime(value)),
  bool: (value) => {
    const found = new Map<unknown, boolean>([
      ['true', true],
      ['false', false],
      [true, true],
      [false, false],
    ]).get(value);
    if (found !== undefined) return found;
    throw new BadLine('the key is not true or false', value);
  },
};
