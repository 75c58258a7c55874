import type { Document } from 'mongodb';
import { Decimal128 } from 'mongodb';
import { countIn, isDocument } from './stages.js';

/**
 * Accumulators in three steps: partial results of some documents, several partial results as one, and the result that a server
 * would have come to with all documents.
 */
export interface Accumulation {
  readonly partial: Document;
  /** Of a `$group` over partial results, by their `_id`. */
  readonly fold: readonly Document[];
  readonly final: readonly Document[];
  /** Whether the result rests on the order of the documents. */
  readonly isOrdered: boolean;
}

/** How one accumulator is taken apart. Names begin with the given one. */
interface Parts {
  readonly partial: Document;
  readonly fold: Document;
  /** Makes of folded lists the form that they had. */
  readonly flat?: Document;
  readonly final: unknown;
  readonly isOrdered?: true;
}

type Rule = (argument: unknown, name: string) => Parts | undefined;

/** @returns undefined when an accumulator is not one of those that can be taken apart */
export function accumulationOf(outputs: readonly (readonly [string, unknown])[]): Accumulation | undefined {
  const all: (readonly [string, Parts])[] = [];
  for (const [i, [field, accumulator]] of outputs.entries()) {
    if (!isDocument(accumulator)) return undefined;
    const [only, ...others] = Object.entries(accumulator);
    if (only === undefined || others.length > 0 || !Object.hasOwn(RULES, only[0])) return undefined;
    const parts = RULES[only[0]]!(only[1], `p${i}`);
    if (parts === undefined) return undefined;
    all.push([field, parts]);
  }
  const merge = (pick: (parts: Parts) => Document | undefined): Document =>
    Object.assign({}, ...all.map(([, parts]) => pick(parts))) as Document;
  const flat = merge((parts) => parts.flat);
  const results = Object.fromEntries(all.map(([field, { final }]) => [field, final]));
  return {
    partial: merge((parts) => parts.partial),
    fold: [
      { $group: { _id: '$_id', ...merge((parts) => parts.fold) } },
      ...(Object.keys(flat).length === 0 ? [] : [{ $set: flat }]),
    ],
    final: [{ $replaceWith: { _id: '$_id', ...results } }],
    isOrdered: all.some(([, parts]) => parts.isOrdered === true),
  };
}

/** Gives with partial results what it gives with documents. */
const again =
  (operator: string, isOrdered?: true): Rule =>
  (value, name) =>
    Array.isArray(value)
      ? undefined
      : {
          partial: { [name]: { [operator]: value } },
          fold: { [name]: { [operator]: `$${name}` } },
          final: `$${name}`,
          ...(isOrdered && { isOrdered }),
        };

const lists = (name: string, join: '$concatArrays' | '$setUnion') => ({
  $reduce: { input: `$${name}`, initialValue: [], in: { [join]: ['$$value', '$$this'] } },
});

/** Gives a list. */
const collecting =
  (operator: string, join: '$concatArrays' | '$setUnion', isOrdered?: true): Rule =>
  (value, name) =>
    Array.isArray(value)
      ? undefined
      : {
          partial: { [name]: { [operator]: value } },
          fold: { [name]: { $push: `$${name}` } },
          flat: { [name]: lists(name, join) },
          final: `$${name}`,
          ...(isOrdered && { isOrdered }),
        };

/** Gives the first of a list. */
const choosing =
  (operator: string, isOrdered?: true): Rule =>
  (argument, name) => {
    if (!isDocument(argument)) return undefined;
    const { n, input } = argument;
    if (Object.keys(argument).length !== 2 || countIn(n) === undefined || input === undefined) return undefined;
    return {
      partial: { [name]: { [operator]: argument } },
      fold: { [name]: { $push: `$${name}` } },
      flat: { [name]: { [operator]: { n: n as unknown, input: lists(name, '$concatArrays') } } },
      final: `$${name}`,
      ...(isOrdered && { isOrdered }),
    };
  };

/** Gives what a sort puts at one end: the fields that it sorts by are kept as they are, for the next time. */
const outermost =
  (operator: '$top' | '$bottom'): Rule =>
  (argument, name) => {
    if (!isDocument(argument) || !isDocument(argument['sortBy'])) return undefined;
    const { sortBy, output } = argument as { readonly sortBy: Document; readonly output: unknown };
    const fields = Object.entries(sortBy);
    if (Object.keys(argument).length !== 2 || output === undefined || fields.length === 0) return undefined;
    if (!fields.every(([, direction]) => Math.abs(Number(direction)) === 1)) return undefined;
    const roots = fields.map(([path]) => path.split('.')[0]!);
    const kept = Object.fromEntries(roots.map((root) => [root, `$${root}`]));
    const sortKept = Object.fromEntries(fields.map(([path, direction]) => [`${name}.by.${path}`, direction]));
    return {
      partial: { [name]: { [operator]: { sortBy, output: { by: kept, output } } } },
      fold: { [name]: { [operator]: { sortBy: sortKept, output: `$${name}` } } },
      final: { $ifNull: [`$${name}.output`, null] },
    };
  };

const NOUGHT = Decimal128.fromString('0');

/** A number with 34 digits; nought for what is none. (The operator `$toDecimal` would keep 15 digits of a double.) */
const precise = (value: unknown) => ({ $sum: [value, NOUGHT] });

/**
 * A server adds doubles up with twice their bits, which it does not give away. Decimals can do as well, but not with fractions of
 * two, whose digits are too many: so doubles are added up as multiples of this, which is exact from about 1e-8 to 1e18. The result
 * is the double next to the true one; that of one server may be the other next, by the order in which it has added up.
 */
const UNIT = 2 ** 52;
const UNIT_DECIMAL = Decimal128.fromString(String(UNIT));
/** Larger ones would leave the range of doubles. */
const LARGEST_SCALED = 1e30;
const LARGEST_TOTAL = 1e300;
const isScaled = { $and: [{ $eq: [{ $type: '$$x' }, 'double'] }, { $lt: [{ $abs: '$$x' }, LARGEST_SCALED] }] };
const withX = (x: unknown, expression: Document) => ({ $let: { vars: { x }, in: expression } });

/** The widest type of number, which the result has, as the place of its name; -1 for none. */
const TYPES = { $literal: ['int', 'long', 'double', 'decimal'] };
const [INT, DOUBLE, DECIMAL] = [0, 2, 3];
const typeOf = (value: unknown) => ({ $indexOfArray: [TYPES, { $type: value }] });

/** The total of numbers, and the type that it has at one server. */
function totalled(value: unknown, name: string) {
  const [plain, scaled, type] = [`${name}s`, `${name}d`, `${name}t`];
  const inUnits = { $add: [{ $multiply: [`$${plain}`, UNIT_DECIMAL] }, `$${scaled}`] };
  return {
    partial: {
      [plain]: { $sum: withX(value, { $cond: [isScaled, NOUGHT, precise('$$x')] }) },
      [scaled]: { $sum: withX(value, { $cond: [isScaled, precise({ $multiply: ['$$x', UNIT] }), NOUGHT] }) },
      [type]: { $max: typeOf(value) },
    },
    fold: {
      [plain]: { $sum: `$${plain}` },
      [scaled]: { $sum: `$${scaled}` },
      [type]: { $max: `$${type}` },
    },
    type: `$${type}`,
    /** Where there are no doubles. */
    whole: `$${plain}`,
    decimal: {
      $cond: [
        { $eq: [`$${scaled}`, 0] },
        `$${plain}`,
        { $add: [`$${plain}`, { $divide: [`$${scaled}`, UNIT_DECIMAL] }] },
      ],
    },
    // Rounded to a double first, whose division changes nothing but the exponent.
    double: withX(inUnits, {
      $cond: [
        { $lt: [{ $abs: '$$x' }, LARGEST_TOTAL] },
        { $divide: [{ $toDouble: '$$x' }, UNIT] },
        asDouble({ $divide: ['$$x', UNIT_DECIMAL] }),
      ],
    }),
  };
}

const asDouble = (value: unknown) => ({
  $convert: { input: value, to: 'double', onError: { $cond: [{ $gt: [value, 0] }, Infinity, -Infinity] } },
});

const sum: Rule = (value, name) => {
  if (Array.isArray(value)) return undefined;
  // Counting, above all: whole numbers that all have one sign can't become too large and small again.
  if (typeof value === 'number' && Number.isInteger(value)) return again('$sum')(value, name);
  const { partial, fold, type, whole, decimal, double } = totalled(value, name);
  const asLong = { $convert: { input: whole, to: 'long', onError: asDouble(whole) } };
  const branches = [
    { case: { $eq: [type, DECIMAL] }, then: decimal },
    { case: { $eq: [type, DOUBLE] }, then: double },
    { case: { $lte: [type, INT] }, then: { $convert: { input: whole, to: 'int', onError: asLong } } },
  ];
  return { partial, fold, final: { $switch: { branches, default: asLong } } };
};

const counted = (value: unknown) => ({ $sum: { $cond: [{ $isNumber: value }, 1, 0] } });

const average: Rule = (value, name) => {
  if (Array.isArray(value)) return undefined;
  const { partial, fold, type, decimal, double } = totalled(value, name);
  const count = `${name}n`;
  const numerator = { $cond: [{ $eq: [type, DECIMAL] }, decimal, double] };
  return {
    partial: { ...partial, [count]: counted(value) },
    fold: { ...fold, [count]: { $sum: `$${count}` } },
    final: { $cond: [{ $eq: [`$${count}`, 0] }, null, { $divide: [numerator, `$${count}`] }] },
  };
};

/** By the sums of the numbers and of their squares, whose 34 digits leave enough of the difference. */
const deviation =
  (least: 1 | 2): Rule =>
  (value, name) => {
    if (Array.isArray(value)) return undefined;
    const [total, squares, count] = [`${name}s`, `${name}q`, `${name}n`];
    const ofAll = { $divide: [{ $multiply: [`$${total}`, `$${total}`] }, `$${count}`] };
    const degrees = least === 1 ? `$${count}` : { $subtract: [`$${count}`, 1] };
    const variance = { $divide: [{ $subtract: [`$${squares}`, ofAll] }, degrees] };
    // What rounding leaves below nought; "not a number" is below all others.
    const isBelow = { $and: [{ $lt: ['$$variance', 0] }, { $gte: ['$$variance', -Infinity] }] };
    const root = {
      $let: { vars: { variance }, in: { $toDouble: { $cond: [isBelow, 0, { $sqrt: '$$variance' }] } } },
    };
    return {
      partial: {
        [total]: { $sum: precise(value) },
        [squares]: { $sum: { $multiply: [precise(value), precise(value)] } },
        [count]: counted(value),
      },
      fold: Object.fromEntries([total, squares, count].map((each) => [each, { $sum: `$${each}` }])),
      final: { $cond: [{ $lt: [`$${count}`, least] }, null, root] },
    };
  };

const RULES: Readonly<Record<string, Rule>> = {
  $sum: sum,
  $count: (argument, name) =>
    isDocument(argument) && Object.keys(argument).length === 0 ? again('$sum')(1, name) : undefined,
  $avg: average,
  $stdDevPop: deviation(1),
  $stdDevSamp: deviation(2),
  $min: again('$min'),
  $max: again('$max'),
  $first: again('$first', true),
  $last: again('$last', true),
  $mergeObjects: again('$mergeObjects', true),
  $push: collecting('$push', '$concatArrays', true),
  $addToSet: collecting('$addToSet', '$setUnion'),
  $minN: choosing('$minN'),
  $maxN: choosing('$maxN'),
  $firstN: choosing('$firstN', true),
  $lastN: choosing('$lastN', true),
  $top: outermost('$top'),
  $bottom: outermost('$bottom'),
};
