import type { BSONSerializeOptions, Document, FindOptions, SortDirection } from 'mongodb';
import { BSON } from 'mongodb';
import { definedOf } from '../domain/defined.js';
import { without } from '../store/raw-bson.js';
import type { Batches } from './batches.js';
import type { Directions } from './merge.js';
import { SORT_KEY } from './merge.js';

/** A sort as the driver's cursor keeps it. */
export type Sort = ReadonlyMap<string, SortDirection | { readonly $meta: string }>;

/** What the server tells of a document's place, and how places compare. */
export interface Order {
  readonly meta: 'sortKey' | 'geoNearDistance';
  readonly directions: Directions;
}

/** The order in which a server answers, where it keeps to one. */
export function orderOf(filter: unknown, sort: Sort | undefined): Order | undefined {
  if (sort === undefined || sort.size === 0) {
    return isNear(filter) ? { meta: 'geoNearDistance', directions: [1] } : undefined;
  }
  if (sort.has('$natural')) return undefined;
  // Scores come best first.
  return { meta: 'sortKey', directions: [...sort.values()].map((direction) => (direction === 1 ? 1 : -1)) };
}

/** Conditions that also say in which order documents come. */
function isNear(filter: unknown): boolean {
  if (typeof filter !== 'object' || filter === null) return false;
  return Object.entries(filter).some(([name, value]) => name === '$near' || name === '$nearSphere' || isNear(value));
}

/** A projection to which a field can be added. */
export const listedOf = (projection: FindOptions['projection']): Document =>
  projection instanceof Map
    ? (Object.fromEntries(projection) as Document)
    : Array.isArray(projection)
      ? Object.fromEntries((projection.length === 0 ? ['_id'] : projection).map((name: string) => [name, 1]))
      : (projection ?? {});

/** Documents as the application wants them, and as it stored them: without what they were sorted by. */
export class Decoded implements Batches<Document | Uint8Array> {
  constructor(
    private readonly batches: Batches<Uint8Array>,
    private readonly options: BSONSerializeOptions,
  ) {}

  async next(): Promise<(Document | Uint8Array)[] | null> {
    const batch = await this.batches.next();
    return batch && batch.map((bytes) => this.decode(without(bytes, SORT_KEY)));
  }

  close(): Promise<void> {
    return this.batches.close();
  }

  private decode(bytes: Uint8Array): Document | Uint8Array {
    const { raw, enableUtf8Validation, ...options } = this.options;
    if (raw === true) return bytes;
    return BSON.deserialize(bytes, { ...options, validation: { utf8: enableUtf8Validation !== false } });
  }
}

const DECODING = [
  ...(['raw', 'useBigInt64', 'promoteLongs', 'promoteValues', 'promoteBuffers', 'bsonRegExp', 'fieldsAsRaw'] as const),
  'enableUtf8Validation',
] as const;

/** The options of decoding for a request: its own, and where it has none the client's. */
export function decodingOf(request: BSONSerializeOptions, client: BSONSerializeOptions): BSONSerializeOptions {
  return definedOf(Object.fromEntries(DECODING.map((name) => [name, request[name] ?? client[name]])));
}
