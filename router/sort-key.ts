import type { Document } from 'mongodb';
import { compareValues } from '../store/bson-order.js';
import type { RawValue } from '../store/raw-bson.js';
import { field, fields, rawDocument } from '../store/raw-bson.js';
import type { Directions } from './merge.js';
import { SORT_KEY } from './merge.js';
import { isDocument } from './stages.js';

/**
 * By what a pipeline has put documents in order. A server tells its own sort keys to `find` only; so nodes send the values,
 * and this process takes of a list the element that counts, as a server does.
 */
export interface KeyOrder {
  /** What a node sets as {@link SORT_KEY}. */
  readonly key: Document;
  /** Within the key; `''` is all of it, compared as one value. */
  readonly paths: readonly string[];
  readonly directions: Directions;
}

/** An expression, as a plain document would be merged with the one that is there. */
export const setKey = (key: Document): Document => ({ $set: { [SORT_KEY]: { $mergeObjects: [key] } } });

/** The whole of one value, lists included. */
export const orderOfValue = (value: unknown): KeyOrder => ({ key: { value }, paths: [''], directions: [1] });

export const BY_DISTANCE: KeyOrder = {
  key: { meta: { s0: { $meta: 'geoNearDistance' } } },
  paths: ['meta.s0'],
  directions: [1],
};

/** @returns undefined for what is no sort */
export function orderOfSort(spec: unknown): KeyOrder | undefined {
  if (!isDocument(spec)) return undefined;
  const [sources, meta]: [Document, Document] = [{}, {}];
  const paths: string[] = [];
  const directions: (1 | -1)[] = [];
  for (const [i, [path, direction]] of Object.entries(spec).entries()) {
    if (isDocument(direction) && typeof direction['$meta'] === 'string') {
      meta[`s${i}`] = direction;
      paths.push(`meta.s${i}`);
      // Scores come best first.
      directions.push(-1);
      continue;
    }
    const number = typeof direction === 'string' ? NaN : Number(direction);
    if (number !== 1 && number !== -1) return undefined;
    const [root] = path.split('.');
    sources[root!] = `$${root}`;
    paths.push(`fields.${path}`);
    directions.push(number);
  }
  return paths.length === 0 ? undefined : { key: { fields: sources, meta }, paths, directions };
}

/** The values that a document of a node is compared by. */
export function keysBy({ paths, directions }: KeyOrder): (document: Uint8Array) => readonly RawValue[] {
  const split = paths.map((path) => path.split('.'));
  return (document) => {
    const key = rawDocument(field(document, SORT_KEY)!.bytes);
    if (paths[0] === '') return [key];
    const [first, ...others] = tuplesOf(split.map((rest) => ({ value: key, rest })));
    return others.reduce((least, tuple) => (compareTuples(tuple, least, directions) < 0 ? tuple : least), first!);
  };
}

/** A value, and the names that lead on from there; a list is settled when it counts as a whole. */
interface Walk {
  readonly value: RawValue;
  readonly rest: readonly string[];
  readonly isSettled?: boolean;
}

/** One for each element of a list on the way: a server lets there be one such list. */
function tuplesOf(walks: readonly Walk[]): RawValue[][] {
  const reached = walks.map(walk);
  const isOpen = ({ value, isSettled }: Walk) => value.type === ARRAY && isSettled !== true;
  const list = reached.find(isOpen);
  if (list === undefined) return [reached.map(({ value }) => value)];
  const elements = [...fields(list.value.bytes).values()];
  const through = (element: RawValue | undefined) =>
    reached.map((each): Walk => {
      if (!isOpen(each)) return { ...each, rest: [] };
      const { rest } = each;
      if (rest.length === 0) return { value: element ?? UNDEFINED, rest, isSettled: true };
      return element?.type === DOCUMENT ? { value: element, rest } : { value: NULL, rest: [] };
    });
  if (elements.length === 0) return tuplesOf(through(undefined));
  return elements.flatMap((element) => tuplesOf(through(element)));
}

/** Along documents, as far as a list, or to the end. */
function walk({ value, rest, isSettled = false }: Walk): Walk {
  let at = value;
  for (const [i, name] of rest.entries()) {
    const isPlace = at.type === ARRAY && /^\d+$/.test(name);
    if (at.type === ARRAY && !isPlace) return { value: at, rest: rest.slice(i) };
    const next = at.type === DOCUMENT || isPlace ? field(at.bytes, name) : undefined;
    if (next === undefined) return { value: NULL, rest: [] };
    at = next;
  }
  return { value: at, rest: [], isSettled };
}

const compareTuples = (a: readonly RawValue[], b: readonly RawValue[], directions: Directions): number => {
  for (const [i, direction] of directions.entries()) {
    const difference = compareValues(a[i]!, b[i]!);
    if (difference !== 0) return difference * direction;
  }
  return 0;
};

const DOCUMENT = 0x03;
const ARRAY = 0x04;
const NULL: RawValue = { type: 0x0a, bytes: new Uint8Array() };
const UNDEFINED: RawValue = { type: 0x06, bytes: new Uint8Array() };
