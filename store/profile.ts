import type { Document, MongoClient } from 'mongodb';
import type { ProfiledUse } from '../domain/index-advice.js';
import type { QueryShape, ShapedRequest } from '../domain/query-shape.js';
import { shapeOf, shapeText } from '../domain/query-shape.js';
import type { ProfiledShape } from './catalog/query-shapes.js';
import { hourOf } from './catalog/query-shapes.js';
import { DROVER_APP } from './direct-writers.js';
import { TOUCH_FIELD } from './fenced-collection.js';
import { number } from './server-status.js';

/** What a node's profiler is set to for a database. */
export interface ProfilerSettings {
  /** 0: off, 1: slow operations, 2: all. */
  readonly level: number;
  readonly slowMs: number;
  /** Of the slow operations, in [0, 1]. */
  readonly sampleRate: number;
}

export interface ProfilePart {
  readonly database: string;
  /** Partition of each collection to look for; undefined where several are in it. */
  readonly collections: ReadonlyMap<string, string | undefined>;
  /** By the node's clock; from the oldest entry on where there is none. */
  readonly from: Date | undefined;
  readonly to: Date;
}

/** Entries are written when an operation ends, and bear the time of that: older ones come no more. */
const SETTLED_MS = 1_000;
/** Of more different shapes in one part the first ones are told. */
const MOST_SHAPES = 2_000;
const ANSWER_MS = 30_000;

export async function profilerSettings(client: MongoClient, database: string): Promise<ProfilerSettings> {
  const { was, slowms, sampleRate } = await client.db(database).command({ profile: -1 });
  return { level: Number(was), slowMs: Number(slowms), sampleRate: Number(sampleRate) };
}

/** Until when a profile can be read now, by the node's clock. */
export async function profileEnd(client: MongoClient): Promise<Date> {
  const { localTime } = await client.db('admin').command({ hello: 1 });
  return new Date((localTime as Date).getTime() - SETTLED_MS);
}

/**
 * Operations on a keyspace's collections by their shape, from what the node's profiler has written down. Commands hold the
 * application's values: nothing but shapes leaves this function.
 */
export async function readProfile(client: MongoClient, part: ProfilePart): Promise<ProfiledShape[]> {
  const { database, collections, from, to } = part;
  const namespaces = [...collections.keys()].map((name) => `${database}.${name}`);
  const found = new Map<string, { hour: Date; partition: string | undefined; shape: QueryShape; use: Counted }>();
  const entries = client
    .db(database)
    .collection('system.profile', { readConcern: { level: 'local' } })
    .find(
      {
        ts: { ...(from === undefined ? {} : { $gte: from }), $lt: to },
        ns: { $in: namespaces },
        appName: { $ne: DROVER_APP },
      },
      { projection: FIELDS, maxTimeMS: ANSWER_MS },
    );
  for await (const entry of entries) {
    const request = requestOf(entry);
    if (request === undefined) continue;
    const shape = shapeOf(request);
    const partition = collections.get(String(entry['ns']).slice(database.length + 1));
    const hour = hourOf((entry['ts'] as Date).getTime());
    const name = `${hour.getTime()} ${partition ?? ''} ${shapeText(shape)}`;
    let shaped = found.get(name);
    if (shaped === undefined) {
      if (found.size === MOST_SHAPES) continue;
      found.set(name, (shaped = { hour, partition, shape, use: { ...NOTHING } }));
    }
    count(shaped.use, entry);
  }
  return [...found.values()];
}

type Counted = { -readonly [Name in keyof ProfiledUse]: number };

const NOTHING: ProfiledUse = {
  operations: 0,
  keysExamined: 0,
  docsExamined: 0,
  returned: 0,
  collectionScans: 0,
  sorts: 0,
  millis: 0,
};

const FIELDS = {
  ...{ op: 1, ns: 1, ts: 1, command: 1, originatingCommand: 1, planSummary: 1, hasSortStage: 1, millis: 1 },
  ...{ keysExamined: 1, docsExamined: 1, nreturned: 1, nMatched: 1, ndeleted: 1 },
} as const;

function count(use: Counted, entry: Document): void {
  const figure = (name: string) => number(entry, name) ?? 0;
  use.keysExamined += figure('keysExamined');
  use.docsExamined += figure('docsExamined');
  use.returned += figure('nreturned') + figure('nMatched') + figure('ndeleted');
  use.millis += figure('millis');
  // The rest of an operation that was counted with its first answer.
  if (entry['op'] === 'getmore') return;
  use.operations += 1;
  if (String(entry['planSummary']).startsWith('COLLSCAN')) use.collectionScans += 1;
  if (entry['hasSortStage'] === true) use.sorts += 1;
}

/** What was asked, if it is something that an index could be for. */
function requestOf({ op, command, originatingCommand }: Document): ShapedRequest | undefined {
  const asked = (op === 'getmore' ? originatingCommand : command) as Document | undefined;
  // Commands beyond 50 kB are cut off.
  if (asked === undefined || '$truncated' in asked) return undefined;
  if (op === 'update') return changeOf(asked['q'], asked['u']);
  if (op === 'remove') return deletionOf(asked['q']);
  if ('find' in asked) {
    const { filter, sort, projection } = asked;
    return { operation: 'find', filter: ofApplication(filter), sort, projection: withoutOwn(projection) };
  }
  if ('count' in asked) return { operation: 'count', filter: ofApplication(asked['query']) };
  if ('distinct' in asked) return { operation: 'distinct', filter: ofApplication(asked['query']) };
  if ('aggregate' in asked) return aggregationOf(asked['pipeline']);
  const isChange = 'findAndModify' in asked || 'findandmodify' in asked;
  if (!isChange) return undefined;
  const { query, update, remove, sort } = asked;
  const change = remove === true ? deletionOf(query) : changeOf(query, update);
  return change && { ...change, sort };
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
  isTouched(filter) ? undefined : { operation: 'delete', filter: ofApplication(filter) };

/** Without what a router asks for besides, to merge what several nodes answer. */
const withoutOwn = (projection: unknown): Document =>
  Object.fromEntries(Object.entries((projection ?? {}) as Document).filter(([name]) => !name.startsWith(OWN_FIELDS)));

const OWN_FIELDS = '__drover';

const isTouched = (filter: unknown): boolean => typeof filter === 'object' && filter !== null && TOUCH_FIELD in filter;

/** The driver counts documents by an aggregation. */
function aggregationOf(stages: unknown): ShapedRequest {
  const pipeline = (Array.isArray(stages) ? (stages as Document[]) : []).map((stage) =>
    '$match' in stage ? { $match: ofApplication(stage['$match']) } : stage,
  );
  const group = pipeline.at(-1)?.['$group'] as Document | undefined;
  const isCount = pipeline.length <= 2 && group?.['_id'] === 1 && 'n' in group && Object.keys(group).length === 2;
  if (isCount) return { operation: 'count', filter: pipeline[0]!['$match'] };
  return { operation: 'aggregate', pipeline };
}

/** Without what a router adds where several partitions are in one collection. */
function ofApplication(filter: unknown): unknown {
  const parts = (filter as { $and?: unknown } | null | undefined)?.$and;
  if (!Array.isArray(parts)) return filter;
  const own = (parts as unknown[]).filter((part) => !isRestriction(part)).map(ofApplication);
  return { ...(filter as Document), $and: own };
}

const isRestriction = (part: unknown): boolean =>
  JSON.stringify((part as { $expr?: unknown } | null)?.$expr ?? null).includes('"$toHashedIndexKey"');

/** Whether a server tells statistics of queries by itself, without a profiler. */
export type QueryStatistics = 'available' | 'absent' | 'not allowed';

/** Newer servers count shapes themselves (`$queryStats`); this only finds out whether one does. */
export async function queryStatistics(client: MongoClient): Promise<QueryStatistics> {
  try {
    await client.db('admin').command({ aggregate: 1, pipeline: [{ $queryStats: {} }, { $limit: 1 }], cursor: {} });
    return 'available';
  } catch (error) {
    // Whether it is the stage or its feature flag that is missing.
    return number(error as Document, 'code') === UNAUTHORIZED ? 'not allowed' : 'absent';
  }
}

const UNAUTHORIZED = 13;
