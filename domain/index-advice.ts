import type { Fit, IndexKey } from './index-key.js';
import { compareFits, fitOf, idealKey, isPrefix, keyText } from './index-key.js';
import type { QueryShape } from './query-shape.js';
import { searchText, shapeText } from './query-shape.js';

/** An index that is there. */
export interface KnownIndex {
  readonly name: string;
  readonly key: IndexKey;
  readonly unique: boolean;
  /** Holds some documents only, is hidden, or compares texts in its own way: it is not counted on for any shape. */
  readonly limited: boolean;
  /** How often the server has used it since then, as far as it tells (`$indexStats`). */
  readonly uses?: number;
  readonly since?: Date;
}

/** What the server's profiler, or its own statistics of queries, tell of requests of a shape. */
export interface ProfiledUse {
  readonly operations: number;
  readonly keysExamined: number;
  readonly docsExamined: number;
  readonly returned: number;
  /** Operations that read the whole collection, or sorted what they had found. */
  readonly collectionScans: number;
  readonly sorts: number;
  readonly millis: number;
}

export interface ShapeUse {
  readonly shape: QueryShape;
  /** As routers counted them. */
  readonly requests: number;
  readonly profiled?: ProfiledUse;
}

/** An index in the order in which the destination of a move should build it. */
export interface IndexToBuild {
  readonly name: string;
  readonly key: IndexKey;
  readonly requests: number;
  /** Of all requests that need an index, in [0, 1]. */
  readonly share: number;
  readonly uses?: number;
  readonly reason: string;
}

export interface MissingIndex {
  readonly key: IndexKey;
  readonly requests: number;
  readonly share: number;
  /** Such as `find {status: $eq}`. */
  readonly shapes: readonly string[];
  readonly reason: string;
}

export interface IndexAdvice {
  readonly first: readonly IndexToBuild[];
  readonly missing: readonly MissingIndex[];
  /** Used by no request that was seen; they can wait. */
  readonly unused: readonly IndexToBuild[];
}

/** Documents read for one that is returned, or one that is changed: from here on an index is worth while. */
const WASTED = 10;
/** Fewer profiled operations prove nothing. */
const ENOUGH = 5;
/** A shape with less of all requests than this calls for no index of its own. */
const LEAST_SHARE = 0.005;

/**
 * Which indexes the destination of a move should build first, by use: those that serve the most requests before the others, and those
 * that are not there although requests call for them.
 */
export function indexAdvice(given: readonly ShapeUse[], indexes: readonly KnownIndex[], keyField: string): IndexAdvice {
  const uses = bySearch(given.filter(({ shape }) => shape.filter.length + shape.sort.length > 0));
  // What only the profiler has seen has been asked for, too.
  const weighed = uses
    .flatMap(branchesOf)
    .map((use) => ({ ...use, requests: Math.max(use.requests, use.profiled?.operations ?? 0) }));
  const total = uses.reduce((sum, { requests, profiled }) => sum + Math.max(requests, profiled?.operations ?? 0), 0);
  const served = new Map<string, number>();
  const wanting: { readonly key: IndexKey; readonly use: ShapeUse; readonly why: string }[] = [];
  for (const use of weighed) {
    const best = bestOf(use.shape, indexes);
    if (best !== undefined) served.set(best.index.name, (served.get(best.index.name) ?? 0) + use.requests);
    const why = whyMissing(use, best?.fit);
    const key = why === undefined ? undefined : idealKey(use.shape, keyField);
    if (key === undefined || use.requests < LEAST_SHARE * total) continue;
    if (!indexes.some((index) => !index.limited && isPrefix(key, index.key))) wanting.push({ key, use, why: why! });
  }
  const share = (requests: number) => (total === 0 ? 0 : requests / total);
  const built = indexes.map((index): IndexToBuild => {
    const requests = served.get(index.name) ?? 0;
    const { name, key, uses: counted } = index;
    const reason = reasonOf(index, requests, total);
    return { name, key, requests, share: share(requests), ...(counted === undefined ? {} : { uses: counted }), reason };
  });
  const isUnique = new Set(indexes.filter(({ unique }) => unique).map(({ name }) => name));
  const isNeeded = ({ name, requests, uses: counted = 0 }: IndexToBuild) =>
    isUnique.has(name) || requests > 0 || counted > 0;
  const byUse = (a: IndexToBuild, b: IndexToBuild) =>
    Number(isUnique.has(b.name)) - Number(isUnique.has(a.name)) ||
    b.requests - a.requests ||
    (b.uses ?? 0) - (a.uses ?? 0) ||
    (a.name < b.name ? -1 : 1);
  return {
    first: built.filter(isNeeded).sort(byUse),
    missing: together(wanting).map(({ key, uses: of, why }) => {
      const requests = of.reduce((sum, use) => sum + use.requests, 0);
      const shapes = [...new Set(of.map(({ shape }) => shapeText(shape)))];
      return { key, requests, share: share(requests), shapes, reason: why };
    }),
    unused: built.filter((index) => !isNeeded(index)),
  };
}

/** What searches for the same, as one: routers and profilers may see it in other words, such as the parts of an aggregation. */
function bySearch(uses: readonly ShapeUse[]): ShapeUse[] {
  const merged = new Map<string, ShapeUse & { readonly most: number }>();
  for (const use of uses) {
    const text = searchText(use.shape);
    const before = merged.get(text);
    const most = Math.max(use.requests, before?.most ?? 0);
    // The words of those that there are most of.
    const shape = before === undefined || use.requests > before.most ? use.shape : before.shape;
    const profiled = [before?.profiled, use.profiled].filter((each) => each !== undefined);
    merged.set(text, {
      shape,
      most,
      requests: use.requests + (before?.requests ?? 0),
      ...(profiled.length === 0 ? {} : { profiled: profiled.reduce(sumOf) }),
    });
  }
  return [...merged.values()].map(({ most: _, ...use }) => use);
}

const sumOf = (a: ProfiledUse, b: ProfiledUse): ProfiledUse => ({
  operations: a.operations + b.operations,
  keysExamined: a.keysExamined + b.keysExamined,
  docsExamined: a.docsExamined + b.docsExamined,
  returned: a.returned + b.returned,
  collectionScans: a.collectionScans + b.collectionScans,
  sorts: a.sorts + b.sorts,
  millis: a.millis + b.millis,
});

/** Each branch of an `$or` is looked for by itself; it has no order of its own. */
function branchesOf(use: ShapeUse): ShapeUse[] {
  const { shape } = use;
  const alternative = shape.filter.find(({ operators }) => operators.includes('$or'));
  const others = shape.filter.filter((condition) => condition !== alternative);
  if (alternative?.branches === undefined || others.some(({ path }) => path !== '')) return [use];
  return alternative.branches.map((filter) => ({ ...use, shape: { ...shape, filter, sort: [] } }));
}

function bestOf(shape: QueryShape, indexes: readonly KnownIndex[]): { index: KnownIndex; fit: Fit } | undefined {
  const fitting = indexes.flatMap((index) => {
    const fit = index.limited ? undefined : fitOf(index.key, shape);
    return fit === undefined ? [] : [{ index, fit }];
  });
  // Of two that do the same the smaller one.
  return fitting.sort(
    (a, b) =>
      compareFits(a.fit, b.fit) || a.index.key.length - b.index.key.length || (a.index.name < b.index.name ? -1 : 1),
  )[0];
}

function whyMissing({ shape, requests, profiled }: ShapeUse, fit: Fit | undefined): string | undefined {
  const measured = profiled !== undefined && profiled.operations >= ENOUGH ? profiled : undefined;
  if (measured !== undefined) {
    const { operations, docsExamined, returned, collectionScans, sorts } = measured;
    if (collectionScans * 2 > operations) {
      return `${collectionScans} of ${operations} profiled operations read the whole collection`;
    }
    const wasted = docsExamined / Math.max(1, returned);
    if (docsExamined > WASTED * operations && wasted >= WASTED) {
      return `${operations} profiled operations examined ${Math.round(wasted)} documents for each one that they were about`;
    }
    return sorts * 2 > operations && docsExamined > WASTED * operations
      ? `${sorts} of ${operations} profiled operations sorted what they had found`
      : undefined;
  }
  if (fit !== undefined) return undefined;
  return `no index serves ${shapeText(shape)}: its ${requests} requests read the whole collection, as far as its shape tells`;
}

/** One index for all shapes that it serves: what is the beginning of a longer one is served by that. */
function together(
  wanting: readonly { readonly key: IndexKey; readonly use: ShapeUse; readonly why: string }[],
): { readonly key: IndexKey; readonly uses: ShapeUse[]; readonly why: string }[] {
  const longest = [...wanting].sort((a, b) => b.key.length - a.key.length || b.use.requests - a.use.requests);
  const found: { key: IndexKey; uses: ShapeUse[]; most: number; why: string }[] = [];
  for (const { key, use, why } of longest) {
    const same = found.find((each) => isPrefix(key, each.key));
    if (same === undefined) found.push({ key, uses: [use], most: use.requests, why });
    else {
      same.uses.push(use);
      // That of the shape that is asked for most.
      if (use.requests > same.most) [same.most, same.why] = [use.requests, why];
    }
  }
  const requests = ({ uses }: { uses: readonly ShapeUse[] }) => uses.reduce((sum, use) => sum + use.requests, 0);
  return found.sort((a, b) => requests(b) - requests(a) || (keyText(a.key) < keyText(b.key) ? -1 : 1));
}

function reasonOf({ unique, limited, uses, since }: KnownIndex, requests: number, total: number): string {
  const counted =
    uses === undefined
      ? 'how often the server has used it is unknown'
      : `the server has used it ${uses} times${since === undefined ? '' : ` since ${since.toISOString().slice(0, 10)}`}`;
  const served = `${requests} of ${total} requests need it; ${counted}`;
  if (unique) return `it is unique, and refuses what breaks it from the first document on; ${served}`;
  if (limited)
    return `it holds some documents only, or compares in its own way, so that requests can't be counted; ${counted}`;
  return served;
}
