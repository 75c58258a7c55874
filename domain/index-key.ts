import type { Condition, QueryShape } from './query-shape.js';
import { SOME_NAME } from './query-shape.js';

/** Fields of an index in their order; a direction, or a kind such as `hashed`. */
export type IndexKey = readonly (readonly [path: string, direction: number | string])[];

/** Of what an index can do for a shape: more is better, compared in this order. */
export interface Fit {
  /** Conditions by equality, and others, that it narrows down by. */
  readonly equalities: number;
  readonly isSorted: boolean;
  readonly ranges: number;
}

const EQUAL: ReadonlySet<string> = new Set(['$eq', '$in']);
const RANGES: ReadonlySet<string> = new Set([
  '$gt',
  '$gte',
  '$lt',
  '$lte',
  '$regex',
  '$all',
  '$elemMatch',
  '$size',
  '$type',
]);

export const isEquality = ({ path, operators }: Condition): boolean =>
  path !== '' && operators.some((operator) => EQUAL.has(operator));

const isRange = (condition: Condition): boolean =>
  condition.path !== '' && !isEquality(condition) && condition.operators.some((operator) => RANGES.has(operator));

/**
 * How an index serves requests of a shape, as a planner would use it: its leading fields by equality, then what is left of it for the
 * order or a range.
 *
 * @returns undefined where it is of no use
 */
export function fitOf(key: IndexKey, { filter, sort }: Pick<QueryShape, 'filter' | 'sort'>): Fit | undefined {
  const equal = new Set(filter.filter(isEquality).map(({ path }) => path));
  const ranged = new Set(filter.filter(isRange).map(({ path }) => path));
  let equalities = 0;
  while (equalities < key.length && equal.has(key[equalities]![0])) equalities += 1;
  // By its hash one value is found; there is no order, and what comes behind it is of no use without it.
  if (key.some(([path, direction]) => typeof direction !== 'number' && !(direction === 'hashed' && equal.has(path)))) {
    return undefined;
  }
  const rest = key.slice(equalities);
  const isSorted = isSortedBy(
    rest,
    sort.filter(([path]) => !equal.has(path)),
  );
  const ranges = rest[0] !== undefined && ranged.has(rest[0][0]) ? 1 : 0;
  return equalities + ranges > 0 || (isSorted && sort.length > 0) ? { equalities, isSorted, ranges } : undefined;
}

/** Forwards, or all of it backwards. */
function isSortedBy(key: IndexKey, sort: QueryShape['sort']): boolean {
  const factors = sort.map(([path, direction], i) => (key[i]?.[0] === path ? Number(key[i][1]) * direction : 0));
  return factors.every((factor) => factor > 0) || factors.every((factor) => factor < 0);
}

/** Which of two is of more use; below 0: the first. */
export function compareFits(a: Fit, b: Fit): number {
  return b.equalities - a.equalities || Number(b.isSorted) - Number(a.isSorted) || b.ranges - a.ranges;
}

/**
 * The index that would serve requests of a shape best: equality, sort, range, in this order. The equality on the partition key comes
 * first, so that more shapes have the beginning of it in common.
 *
 * @returns undefined where no index helps, or it would be on fields whose names look like data
 */
export function idealKey(
  { filter, sort }: Pick<QueryShape, 'filter' | 'sort'>,
  keyField: string,
): IndexKey | undefined {
  const equal = filter.filter(isEquality).map(({ path }) => path);
  const first = equal.filter((path) => path === keyField);
  const fields = new Map<string, number>();
  for (const path of [...first, ...equal.filter((path) => path !== keyField)]) fields.set(path, 1);
  for (const [path, direction] of sort) if (!fields.has(path)) fields.set(path, direction);
  const range = filter.find((condition) => isRange(condition) && !fields.has(condition.path));
  if (range !== undefined) fields.set(range.path, 1);
  const key = [...fields];
  const isNamed = key.every(([path]) => !path.split('.').includes(SOME_NAME));
  return key.length > 0 && isNamed ? key : undefined;
}

export const isPrefix = (a: IndexKey, b: IndexKey): boolean =>
  a.length <= b.length && a.every(([path, direction], i) => path === b[i]![0] && direction === b[i]![1]);

/** `{ customerId: 1, at: -1 }` */
export const keyText = (key: IndexKey): string =>
  `{ ${key.map(([path, direction]) => `${path}: ${direction}`).join(', ')} }`;
