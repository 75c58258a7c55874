/**
 * What a request asks of documents: paths of fields, operators and directions, and never a value.
 *
 * Two requests of one shape can be answered by the same index. Names of fields that look like data themselves (numbers, ids,
 * addresses) are left out, too: a secret may stand in a name, and shapes that differ in nothing else would be without number.
 */
export interface QueryShape {
  readonly operation: Operation;
  /** Conditions that all have to hold, by path. */
  readonly filter: readonly Condition[];
  readonly sort: readonly (readonly [path: string, direction: 1 | -1])[];
  /** Fields that were asked for, with `-` before those that were not. */
  readonly projection: readonly string[];
  /** What an update changes, such as `$inc total`. */
  readonly update: readonly string[];
  /** Of an aggregation, from the first one on that is neither its filter nor its sort. */
  readonly stages: readonly string[];
}

export const OPERATIONS = ['find', 'count', 'distinct', 'aggregate', 'insert', 'update', 'replace', 'delete'] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface Condition {
  /** Empty for conditions that are about no single field, such as `$or`. */
  readonly path: string;
  /** Such as `$eq`, ascending. */
  readonly operators: readonly string[];
  /** Of `$or` and `$nor`. */
  readonly branches?: readonly (readonly Condition[])[];
}

/** A request as it was made. Nothing of it is trusted to make sense. */
export interface ShapedRequest {
  readonly operation: Operation;
  readonly filter?: unknown;
  readonly sort?: unknown;
  readonly projection?: unknown;
  readonly update?: unknown;
  readonly pipeline?: unknown;
}

/** What is more than that is left out: a shape has a bounded size. */
const MOST_FIELDS = 24;
const DEEPEST = 4;
const LONGEST_PATH = 120;
/** Stands for a name that looks like data. */
export const SOME_NAME = '*';

/** A name that a programmer has chosen, or a number: whatever has other characters is data, and so may be what comes after it. */
const NAME = /^[\p{L}\p{N}_$-]{1,40}$/u;
/** More digits than in `line1` or `address02` make an id or a date. */
const DATA = /^\d|\d\D*\d\D*\d/;
const OPERATOR = /^\$[a-zA-Z]{1,30}$/;

/** The path without what may be data in it. */
export function safePath(path: string): string {
  if (path.length > LONGEST_PATH) return SOME_NAME;
  const names = path.split('.');
  const end = names.findIndex((name) => !NAME.test(name));
  const chosen = (end < 0 ? names : names.slice(0, end)).map((name) => (DATA.test(name) ? SOME_NAME : name));
  return [...chosen, ...(end < 0 ? [] : [SOME_NAME])].join('.');
}

export function shapeOf({ operation, filter, sort, projection, update, pipeline }: ShapedRequest): QueryShape {
  const stages = Array.isArray(pipeline) ? pipeline.filter(isPlain) : [];
  const matches = countWhile(stages, (stage) => '$match' in stage);
  const conditions = [filter, ...stages.slice(0, matches).map((stage) => stage['$match'])].flatMap((each) =>
    conditionsOf(each, 0),
  );
  const sortStage = stages[matches]?.['$sort'];
  return {
    operation,
    filter: merged(conditions),
    sort: sortOf(sort ?? sortStage),
    projection: projectionOf(projection),
    update: updateOf(update),
    stages: stages
      .slice(matches + (sortStage === undefined ? 0 : 1))
      .map(firstName)
      .slice(0, MOST_FIELDS),
  };
}

/** What of a shape an index is chosen by: shapes with the same text of these are served by the same index. */
export const searchText = ({ filter, sort }: QueryShape): string =>
  shapeText({ operation: 'find', filter, sort, projection: [], update: [], stages: [] });

/** As people read it, the same for requests of one shape: `find {customerId: $eq, total: $gt} sort {at: -1}`. */
export function shapeText({ operation, filter, sort, projection, update, stages }: QueryShape): string {
  const parts = [operation as string];
  if (filter.length > 0) parts.push(conditionsText(filter));
  if (sort.length > 0) parts.push(`sort {${sort.map(([path, direction]) => `${path}: ${direction}`).join(', ')}}`);
  if (projection.length > 0) parts.push(`fields {${projection.join(', ')}}`);
  if (update.length > 0) parts.push(`change {${update.join(', ')}}`);
  if (stages.length > 0) parts.push(`stages [${stages.join(', ')}]`);
  return parts.join(' ');
}

const conditionsText = (conditions: readonly Condition[]): string =>
  `{${conditions.map(({ path, operators, branches }) => (path === '' ? logicalText(operators, branches) : `${path}: ${operators.join(' ')}`)).join(', ')}}`;

const logicalText = (operators: readonly string[], branches: Condition['branches'] = []): string =>
  branches.length === 0 ? operators.join(' ') : `${operators.join(' ')}: [${branches.map(conditionsText).join(', ')}]`;

function conditionsOf(filter: unknown, depth: number): Condition[] {
  if (!isPlain(filter)) return [];
  return Object.entries(filter).flatMap(([name, value]): Condition[] => {
    if (name === '$and')
      return deeper(depth) && Array.isArray(value) ? value.flatMap((v) => conditionsOf(v, depth + 1)) : [];
    if (name === '$or' || name === '$nor') {
      const branches =
        deeper(depth) && Array.isArray(value) ? value.map((v) => merged(conditionsOf(v, depth + 1))) : [];
      return [{ path: '', operators: [name], ...(branches.length === 0 ? {} : { branches: unique(branches) }) }];
    }
    if (name.startsWith('$')) return name === '$comment' ? [] : [{ path: '', operators: [safeOperator(name)] }];
    return [{ path: safePath(name), operators: operatorsOf(value) }];
  });
}

function operatorsOf(value: unknown): string[] {
  if (value instanceof RegExp || isBson(value, 'BSONRegExp')) return ['$regex'];
  if (!isPlain(value)) return ['$eq'];
  const names = Object.keys(value);
  if (names.length === 0 || !names[0]!.startsWith('$')) return ['$eq'];
  return names
    .filter((name) => name !== '$options')
    .map((name) => (name === '$regularExpression' ? '$regex' : safeOperator(name)));
}

/** Each path once, in order, so that what was written differently and means the same is the same. */
function merged(conditions: readonly Condition[]): Condition[] {
  const byPath = new Map<string, Set<string>>();
  const logical = new Map<string, Condition>();
  for (const condition of conditions) {
    const { path, operators } = condition;
    if (path === '') logical.set(conditionsText([condition]), condition);
    else byPath.set(path, new Set([...(byPath.get(path) ?? []), ...operators]));
  }
  const named = [...byPath]
    .sort(([a], [b]) => compare(a, b))
    .map(([path, operators]) => ({ path, operators: [...operators].sort() }));
  const others = [...logical].sort(([a], [b]) => compare(a, b)).map(([, condition]) => condition);
  return [...named, ...others].slice(0, MOST_FIELDS);
}

function unique(branches: readonly (readonly Condition[])[]): (readonly Condition[])[] {
  const byText = new Map(branches.map((branch) => [conditionsText(branch), branch]));
  return [...byText]
    .sort(([a], [b]) => compare(a, b))
    .map(([, branch]) => branch)
    .slice(0, MOST_FIELDS);
}

/** In all the forms that the driver takes. */
function sortOf(sort: unknown): [string, 1 | -1][] {
  const pairs = sortPairs(sort).filter((pair): pair is [string, unknown] => typeof pair[0] === 'string');
  return pairs.slice(0, MOST_FIELDS).map(([path, direction]) => [safePath(path), isDescending(direction) ? -1 : 1]);
}

function sortPairs(sort: unknown): [unknown, unknown][] {
  if (typeof sort === 'string') return [[sort, 1]];
  if (sort instanceof Map) return [...(sort as Map<unknown, unknown>)];
  if (isPlain(sort)) return Object.entries(sort);
  if (!Array.isArray(sort)) return [];
  const [first, second] = sort as unknown[];
  if (sort.length === 2 && typeof first === 'string' && (typeof second === 'number' || isDirection(second)))
    return [[first, second]];
  return (sort as unknown[]).map((each) => (Array.isArray(each) ? [each[0], each[1]] : [each, 1]));
}

const isDirection = (value: unknown): boolean =>
  typeof value === 'string' && ['asc', 'desc', 'ascending', 'descending', '1', '-1'].includes(value);

const isDescending = (direction: unknown): boolean =>
  direction === 'desc' || direction === 'descending' || (typeof direction !== 'object' && Number(direction) < 0);

function projectionOf(projection: unknown): string[] {
  const listed = Array.isArray(projection)
    ? (projection as unknown[]).map((name) => [String(name), 1] as const)
    : undefined;
  const named = projection instanceof Map ? [...(projection as Map<string, unknown>)] : undefined;
  const paths = (listed ?? named ?? (isPlain(projection) ? Object.entries(projection) : [])).map(([path, value]) => {
    const isLeftOut = value === false || (typeof value !== 'object' && Number(value) === 0);
    return `${isLeftOut ? '-' : ''}${safePath(path)}`;
  });
  return [...new Set(paths)].sort().slice(0, MOST_FIELDS);
}

function updateOf(update: unknown): string[] {
  if (Array.isArray(update)) return update.filter(isPlain).map(firstName).slice(0, MOST_FIELDS);
  if (!isPlain(update)) return [];
  // A replacement changes whatever there is.
  const operators = Object.entries(update).filter(([name]) => name.startsWith('$'));
  const changes = operators.flatMap(([name, fields]) =>
    (isPlain(fields) ? Object.keys(fields) : []).map((path) => `${safeOperator(name)} ${safePath(path)}`),
  );
  return [...new Set(changes)].sort().slice(0, MOST_FIELDS);
}

const firstName = (stage: Readonly<Record<string, unknown>>): string => safeOperator(Object.keys(stage)[0] ?? '');

const safeOperator = (name: string): string => (OPERATOR.test(name) ? name : `$${SOME_NAME}`);

const deeper = (depth: number): boolean => depth < DEEPEST;

/** Of any realm, as documents of a driver are. */
function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || '_bsontype' in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const isBson = (value: unknown, type: string): boolean =>
  typeof value === 'object' && value !== null && (value as { _bsontype?: unknown })._bsontype === type;

function countWhile<T>(items: readonly T[], test: (item: T) => boolean): number {
  const end = items.findIndex((item) => !test(item));
  return end < 0 ? items.length : end;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
