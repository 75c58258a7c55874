import type { Document, MongoClient } from 'mongodb';
import type { ProfiledUse } from '../domain/index-advice.js';
import type { QueryShape } from '../domain/query-shape.js';
import { shapeOf, shapeText } from '../domain/query-shape.js';
import type { ProfiledShape } from './catalog/query-shapes.js';
import { hourOf } from './catalog/query-shapes.js';
import { requestOf } from './command-request.js';
import { DROVER_APP } from './direct-writers.js';
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
  /** Commands that are counted elsewhere. */
  readonly without: ReadonlySet<string>;
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
  const { database, collections, from, to, without } = part;
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
    const [name, asked] = commandOf(entry);
    // Commands beyond 50 kB are cut off.
    if (without.has(name) || '$truncated' in asked) continue;
    const request = requestOf(name, asked);
    if (request === undefined) continue;
    const shape = shapeOf(request);
    const partition = collections.get(String(entry['ns']).slice(database.length + 1));
    const hour = hourOf((entry['ts'] as Date).getTime());
    const id = `${hour.getTime()} ${partition ?? ''} ${shapeText(shape)}`;
    let shaped = found.get(id);
    if (shaped === undefined) {
      if (found.size === MOST_SHAPES) continue;
      found.set(id, (shaped = { hour, partition, shape, use: { ...NOTHING } }));
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

/** The name of the command, and what it asked. */
function commandOf({ op, command, originatingCommand }: Document): readonly [name: string, asked: Document] {
  const asked = ((op === 'getmore' ? originatingCommand : command) ?? {}) as Document;
  const name = op === 'update' ? 'update' : op === 'remove' ? 'delete' : (Object.keys(asked)[0] ?? '');
  return [name, asked];
}
