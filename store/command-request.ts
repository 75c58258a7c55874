import type { Document } from 'mongodb';
import type { ShapedRequest } from '../domain/query-shape.js';
import { TOUCH_FIELD } from './fenced-collection.js';

/**
 * What an application asked with a command, as far as it is something that an index could be for: without what a router adds.
 *
 * @param command as it was sent, or with types such as `?number` in place of values; of updates and deletes a single one (`q`, `u`)
 */
export function requestOf(name: string, command: Document): ShapedRequest | undefined {
  const { filter, query, sort, projection, pipeline, q, u, update, remove } = command;
  switch (name) {
    case 'find':
      return { operation: 'find', filter: ofApplication(filter), sort, projection: withoutOwn(projection) };
    case 'count':
    case 'distinct':
      return { operation: name, filter: ofApplication(query) };
    case 'aggregate':
      return aggregationOf(pipeline);
    case 'update':
      return changeOf(q, u);
    case 'delete':
      return deletionOf(q);
    case 'findAndModify':
    case 'findandmodify': {
      const change = remove === true ? deletionOf(query) : changeOf(query, update);
      return change && { ...change, sort };
    }
    default:
      return undefined;
  }
}

function changeOf(filter: unknown, update: unknown): ShapedRequest {
  const own = ofApplication(filter);
  const set = (update as { $set?: Document } | undefined)?.$set;
  // A router touches what it is about to delete.
  if (set !== undefined && TOUCH_FIELD in set) return { operation: 'delete', filter: own };
  const isReplacement = !Array.isArray(update) && !Object.keys(update ?? {})[0]?.startsWith('$');
  return isReplacement ? { operation: 'replace', filter: own } : { operation: 'update', filter: own, update };
}

/** What it has touched is counted with the touch. */
const deletionOf = (filter: unknown): ShapedRequest | undefined =>
  asksForTouch(filter) ? undefined : { operation: 'delete', filter: ofApplication(filter) };

/** Without what a router asks for besides, to merge what several nodes answer. */
const withoutOwn = (projection: unknown): Document =>
  Object.fromEntries(Object.entries((projection ?? {}) as Document).filter(([name]) => !name.startsWith(OWN_FIELDS)));

const OWN_FIELDS = '__drover';

/** The driver counts documents by an aggregation. */
function aggregationOf(stages: unknown): ShapedRequest {
  const pipeline = (Array.isArray(stages) ? (stages as Document[]) : []).map((stage) =>
    '$match' in stage ? { $match: ofApplication(stage['$match']) } : stage,
  );
  const group = pipeline.at(-1)?.['$group'] as Document | undefined;
  const isOneGroup = group?.['_id'] === 1 || group?.['_id'] === '?number';
  const isCount = pipeline.length <= 2 && isOneGroup && 'n' in group && Object.keys(group).length === 2;
  if (isCount) return { operation: 'count', filter: pipeline[0]!['$match'] };
  return { operation: 'aggregate', pipeline };
}

/** Without what a router adds where several partitions are in one collection, and to touch each document once. */
function ofApplication(filter: unknown): unknown {
  const parts = andOf(filter);
  if (parts === undefined) return filter;
  const own = parts.filter((part) => !isRestriction(part) && !asksForTouch(part)).map(ofApplication);
  return { ...(filter as Document), $and: own };
}

const andOf = (filter: unknown): unknown[] | undefined => {
  const parts = (filter as { $and?: unknown } | null | undefined)?.$and;
  return Array.isArray(parts) ? (parts as unknown[]) : undefined;
};

const isRestriction = (part: unknown): boolean =>
  JSON.stringify((part as { $expr?: unknown } | null)?.$expr ?? null).includes('"$toHashedIndexKey"');

const asksForTouch = (filter: unknown): boolean =>
  (typeof filter === 'object' && filter !== null && TOUCH_FIELD in filter) ||
  (andOf(filter)?.some(asksForTouch) ?? false);
