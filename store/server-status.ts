import type { Document } from 'mongodb';

/** A number of a status document, whatever BSON type it came as; undefined where the server does not tell it. */
export function number(document: Document | undefined, ...path: readonly string[]): number | undefined {
  const found = path.reduce<unknown>((value, key) => (value as Document | undefined)?.[key], document);
  const value = typeof found === 'object' && found !== null ? Number(found) : found;
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export const DIRTY = 'tracked dirty bytes in the cache';

/** A figure of `serverStatus` about the storage engine's cache, as a share of the cache. */
export function cacheShare(status: Document | undefined, what: string): number | undefined {
  const limit = number(status, 'wiredTiger', 'cache', 'maximum bytes configured');
  const bytes = number(status, 'wiredTiger', 'cache', what);
  return limit === undefined || bytes === undefined || limit <= 0 ? undefined : bytes / limit;
}
