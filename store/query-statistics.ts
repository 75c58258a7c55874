import { createHash } from 'node:crypto';
import type { Document, MongoClient } from 'mongodb';
import { BSON } from 'mongodb';
import { messageOf } from '../domain/errors.js';
import type { ProfiledUse } from '../domain/index-advice.js';
import { shapeOf } from '../domain/query-shape.js';
import type { CountedQuery, ProfiledShape } from './catalog/query-shapes.js';
import { hourOf } from './catalog/query-shapes.js';
import { requestOf } from './command-request.js';
import { DROVER_APP } from './direct-writers.js';
import type { ProfilePart } from './profile.js';
import { hasCode } from './server-errors.js';
import { number } from './server-status.js';

/** Whether a server's own statistics of queries (`$queryStats`) were read. */
export interface QueryStatistics {
  readonly state: 'read' | 'absent' | 'off' | 'not allowed' | 'empty' | 'without figures' | 'failed';
  /** Why there are none, or what is missing in them; null where all were read. */
  readonly reason: string | null;
  /** From when on the operations were counted that had not been read before, by the node's clock; null where there are none. */
  readonly since: Date | null;
}

export interface StatisticsPart extends Pick<ProfilePart, 'database' | 'collections' | 'from'> {
  /** What had been counted up to `from`; null where statistics were not read then. */
  readonly counted: readonly CountedQuery[] | null;
}

export interface StatisticsReading {
  readonly statistics: QueryStatistics;
  /** What has been added since the reading before. */
  readonly shapes: readonly ProfiledShape[];
  readonly counted: readonly CountedQuery[] | null;
  /** Commands that are counted by it, and must not be counted from the profiler, too. */
  readonly commands: ReadonlySet<string>;
}

/** Of more entries of a keyspace those that were used last are read. */
const MOST_ENTRIES = 2_000;
const ANSWER_MS = 30_000;

/** A server that has no statistics, or does not let them be read, says so: that is an answer, and no failure. */
export async function readQueryStatistics(client: MongoClient, part: StatisticsPart): Promise<StatisticsReading> {
  try {
    const entries = await client
      .db('admin')
      .aggregate([
        { $queryStats: {} },
        {
          $match: {
            'key.queryShape.cmdNs.db': part.database,
            'key.queryShape.cmdNs.coll': { $in: [...part.collections.keys()] },
            'key.collectionType': { $ne: 'changeStream' },
          },
        },
        { $sort: { 'metrics.latestSeenTimestamp': -1 } },
        { $limit: MOST_ENTRIES + 1 },
      ])
      .maxTimeMS(ANSWER_MS)
      .toArray();
    return readingOf(entries, part);
  } catch (error) {
    return refusalOf(error);
  }
}

export function refusalOf(error: unknown): StatisticsReading {
  if (hasCode(error, 'unknownStage')) return unread('absent', 'the server has no $queryStats');
  if (hasCode(error, 'queryFeatureNotAllowed')) return unread('off', '$queryStats is turned off at the server');
  return hasCode(error, 'unauthorized')
    ? unread('not allowed', '$queryStats takes the action queryStatsRead, which the role clusterMonitor has')
    : unread('failed', `$queryStats could not be read: ${messageOf(error)}`);
}

const unread = (state: QueryStatistics['state'], reason: string): StatisticsReading => ({
  statistics: { state, reason, since: null },
  shapes: [],
  counted: null,
  commands: new Set(),
});

/**
 * What entries of `$queryStats` tell that had not been counted before.
 *
 * Their counters add up until the server is restarted or drops the entry, as it does with those that were not used for long; then
 * it begins anew, with another time of the first operation. Counted is the difference to the reading before where that was of the
 * same entry, and all of an entry that is younger than that reading. An older one that was not in it had been left out, or belongs
 * to another member of the replica set: it is only remembered, so that nothing counts twice. So are all of them where statistics
 * were not read the last time, as until now the profiler was what counted.
 */
export function readingOf(entries: readonly Document[], { collections, ...before }: StatisticsPart): StatisticsReading {
  if (entries.length === 0) {
    return { ...unread('empty', '$queryStats tells of no request to the keyspace'), counted: [] };
  }
  const told = entries.flatMap((entry) => queryOf(entry) ?? []);
  if (told.length === 0) return unread('without figures', '$queryStats of this server does not tell what is examined');
  const ours = told
    .slice(0, MOST_ENTRIES)
    .filter(({ key }) => (key['client'] as Document | undefined)?.['application']?.name !== DROVER_APP);
  const counted = ours.map((query) => query.counted);
  const isWhole = told.length <= MOST_ENTRIES;
  const reason = isWhole ? null : `of $queryStats the ${MOST_ENTRIES} kinds of requests that were used last are read`;
  const statistics = { state: 'read', reason, since: null } as const;
  if (before.from !== undefined && before.counted === null) {
    const begun = { ...statistics, reason: '$queryStats is counted from now on: it was not read the last time' };
    return { statistics: begun, shapes: [], counted, commands: new Set() };
  }
  const known = new Map(before.counted?.map((each) => [each.id, each]));
  const added = ours.flatMap((query) => {
    const request = requestOf(query.command, asWritten(query.key['queryShape'] as Document));
    const news = addedTo(query.counted, known.get(query.counted.id), before.from);
    return request === undefined || news === undefined ? [] : [{ ...query, ...news, shape: shapeOf(request) }];
  });
  const begins = added.map(({ begin }) => begin.getTime());
  return {
    statistics: { ...statistics, since: begins.length === 0 ? null : new Date(Math.min(...begins)) },
    shapes: added.map(({ key, begin, latestSeen, shape, use }) => ({
      hour: hourOf(latestSeen.getTime()),
      since: hourOf(begin.getTime()),
      partition: collections.get((key['queryShape'] as Document)['cmdNs'].coll as string),
      ...{ shape, use },
    })),
    counted,
    commands: new Set(told.map(({ command }) => command)),
  };
}

interface ToldQuery {
  readonly key: Document;
  readonly command: string;
  readonly latestSeen: Date;
  readonly counted: CountedQuery;
}

/** Undefined where the server does not tell what was examined, as older releases, or something else is not as it should be. */
function queryOf({ key, metrics }: Document): ToldQuery | undefined {
  if (!isDocument(metrics) || !isDocument(key) || !isDocument(key['queryShape'])) return undefined;
  // Newer releases have sections.
  const { queryExec = metrics, queryPlanner = metrics, writes } = metrics as Record<string, Document>;
  const keysExamined = number(queryExec, 'keysExamined', 'sum');
  const docsExamined = number(queryExec, 'docsExamined', 'sum');
  if (keysExamined === undefined || docsExamined === undefined) return undefined;
  const sum = (section: Document | undefined, name: string) => number(section, name, 'sum') ?? 0;
  const total: ProfiledUse = {
    ...{ operations: number(metrics, 'execCount') ?? 0, keysExamined, docsExamined, collectionScans: 0 },
    returned: sum(queryExec, 'docsReturned') + sum(writes, 'nMatched') + sum(writes, 'nDeleted'),
    sorts: number(queryPlanner, 'hasSortStage', 'true') ?? 0,
    millis: Math.floor(sum(metrics, 'totalExecMicros') / 1_000),
  };
  const id = createHash('sha256').update(BSON.serialize(key)).digest('base64');
  const { firstSeenTimestamp: firstSeen, latestSeenTimestamp: latestSeen } = metrics as Record<string, unknown>;
  const { command } = key['queryShape'] as { command?: unknown };
  if (!(firstSeen instanceof Date && latestSeen instanceof Date) || typeof command !== 'string') return undefined;
  return { key: key, command, latestSeen, counted: { id, firstSeen, total } };
}

function addedTo(
  { firstSeen, total }: CountedQuery,
  known: CountedQuery | undefined,
  from: Date | undefined,
): { readonly use: ProfiledUse; readonly begin: Date } | undefined {
  const isSame = from !== undefined && known?.firstSeen.getTime() === firstSeen.getTime();
  if (!isSame && from !== undefined && firstSeen < from) return undefined;
  const use = isSame ? difference(total, known.total) : total;
  if (use.operations <= 0) return undefined;
  // Its plan is not told: what has read documents and no key has read the collection.
  const collectionScans = use.keysExamined === 0 && use.docsExamined > 0 ? use.operations : 0;
  return { use: { ...use, collectionScans }, begin: isSame ? from : firstSeen };
}

const difference = (now: ProfiledUse, before: ProfiledUse): ProfiledUse => ({
  operations: now.operations - before.operations,
  keysExamined: now.keysExamined - before.keysExamined,
  docsExamined: now.docsExamined - before.docsExamined,
  returned: now.returned - before.returned,
  collectionScans: 0,
  sorts: now.sorts - before.sorts,
  millis: now.millis - before.millis,
});

/** The server's own form of a command, in the words that an application uses for the same. */
const asWritten = ({ filter, query, q, projection, pipeline, ...rest }: Document): Document => ({
  ...rest,
  ...{ filter: conditionsAsWritten(filter), query: conditionsAsWritten(query), q: conditionsAsWritten(q) },
  projection: projectionAsWritten(projection),
  pipeline: ((pipeline ?? []) as Document[]).map((stage) =>
    '$match' in stage ? { $match: conditionsAsWritten(stage['$match']) } : stage,
  ),
});

/** What is behind `$not` in the server's form. */
const NEGATED = new Map([
  ['$eq', '$ne'],
  ['$in', '$nin'],
  ['$exists', '$exists'],
]);

function conditionsAsWritten(filter: unknown): unknown {
  if (Array.isArray(filter)) return filter.map(conditionsAsWritten);
  if (!isDocument(filter)) return filter;
  return Object.fromEntries(
    Object.entries(filter).map(([name, value]): [string, unknown] => {
      if (['$and', '$or', '$nor'].includes(name)) return [name, conditionsAsWritten(value)];
      const [operator] = isDocument(value) && isDocument(value['$not']) ? Object.keys(value['$not']) : [];
      const negated = NEGATED.get(operator ?? '');
      return [name, negated === undefined ? value : { [negated]: '?' }];
    }),
  );
}

/** With paths, and without the `_id` that comes along unless it is declined. */
function projectionAsWritten(projection: unknown): Document {
  const paths = pathsOf(projection, '');
  return Object.fromEntries(paths.filter(([path, value]) => paths.length === 1 || path !== '_id' || value !== true));
}

function pathsOf(projection: unknown, prefix: string): [string, unknown][] {
  return Object.entries((projection ?? {}) as Document).flatMap(([name, value]): [string, unknown][] =>
    isDocument(value) && !Object.keys(value)[0]?.startsWith('$')
      ? pathsOf(value, `${prefix}${name}.`)
      : [[`${prefix}${name}`, value]],
  );
}

const isDocument = (value: unknown): value is Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
