import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AnyBulkWriteOperation, ChangeStreamDocument, Db, Document, Timestamp } from 'mongodb';
import { TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import { operationTime } from '../store/change-log.js';
import { Checkpoint, Markers } from '../store/checkpoint.js';
import { timeToBson } from '../store/codec.js';
import { createFenced } from '../store/fenced-collection.js';
import { follow, markerRead } from '../store/follower.js';
import type { Bench, BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import type { ChangeSettings } from './change-process.js';
import { changes, fillChanging } from './changes.js';
import { SALES_KEY } from './sales.js';
import { quantile } from './statistics.js';
import type { TwoNodes } from './two-nodes.js';
import { twoNodes } from './two-nodes.js';

const COLLECTION = 'orders';
const MIGRATION = 'bench';
const LOOP = 'driver loop';
const BATCH = 1_000;
const BACKLOG_SHARE = 0.85;
const RATE = 2_000;
const SECONDS = 30;
const MAY_TAKE_MS = 600_000;

/** Following a source: how fast a backlog is worked off, and how far behind a busy source a copy is. */
export const replicate: Bench = {
  about: 'working off a backlog of changes, against a change stream with the driver; time to apply at 2,000 writes/s',
  defaults: { documents: 200_000 },
  run: async (options) => {
    const nodes = await twoNodes();
    try {
      const backlog = await workOff(nodes, options);
      await keepUp(nodes, options);
      return backlog;
    } finally {
      await nodes.stop();
    }
  },
};

async function workOff(nodes: TwoNodes, { documents, rounds, say }: BenchOptions): Promise<Comparison[]> {
  const events = Math.round(documents * BACKLOG_SHARE);
  const measured: { drover: number; baseline: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const [source, target] = await prepared(nodes, `backlog-${round}`, documents);
    const startAt = await operationTime(source);
    const stream = changes(documents, round + 1);
    for (let n = 0; n < events; n += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, events - n) }, () => stream.next().value);
      await source.collection(COLLECTION).bulkWrite(batch);
    }
    const plain = nodes.target.client.db(`plain-${source.databaseName}`);
    await copyInto(target, plain);
    const drover = events / (await seconds(() => droverApplies(nodes, source, target, startAt)));
    const baseline = events / (await seconds(() => loopApplies(source, plain, events, timeToBson(startAt))));
    say(`round ${round + 1}: drover ${drover.toFixed(0)} events/s, ${LOOP} ${baseline.toFixed(0)} events/s`);
    measured.push({ drover, baseline });
    await expectSame(source, target);
    for (const db of [source, target, plain]) await db.dropDatabase();
  }
  const name = `backlog of ${events.toLocaleString('en-US')} events`;
  return [comparison({ case: name, against: LOOP, unit: 'events/s' }, 'higher', measured)];
}

/** A collection and its equal copy. */
async function prepared(nodes: TwoNodes, database: string, documents: number): Promise<[source: Db, target: Db]> {
  const [source, target] = [nodes.source.client.db(database), nodes.target.client.db(database)];
  await fillChanging(source, COLLECTION, documents);
  await createFenced(target, COLLECTION, { keyField: SALES_KEY, accepted: [] });
  await copyInto(source, target);
  await target.collection(COLLECTION).createIndex({ [SALES_KEY]: 'hashed' });
  return [source, target];
}

async function copyInto(from: Db, to: Db): Promise<void> {
  let batch: Document[] = [];
  const flush = () => to.collection(COLLECTION).insertMany(batch, { ordered: false, bypassDocumentValidation: true });
  for await (const document of from.collection(COLLECTION).find()) {
    batch.push(document);
    if (batch.length < 5_000) continue;
    await flush();
    batch = [];
  }
  if (batch.length > 0) await flush();
}

/** Follows from `startAt` until everything that is there now has been applied. */
async function droverApplies(nodes: TwoNodes, source: Db, target: Db, startAt: bigint): Promise<void> {
  const following = await startFollowing(nodes, source, target, startAt);
  await new Markers(source).write('end', MIGRATION, 'forward');
  const checkpoint = new Checkpoint(target, MIGRATION, 'forward');
  const read = await markerRead(checkpoint, ({ marker }) => marker === 'end', MAY_TAKE_MS);
  await following.stop();
  if (!read) throw new Error('the backlog was not worked off');
}

async function startFollowing(nodes: TwoNodes, source: Db, target: Db, startAt: bigint) {
  await new Checkpoint(target, MIGRATION, 'forward').create({ low: TOKEN_MIN, high: TOKEN_END }, startAt);
  const abort = new AbortController();
  const end = follow({
    migration: MIGRATION,
    direction: 'forward',
    origin: nodes.source.client,
    destination: nodes.target.client,
    database: source.databaseName,
    collection: COLLECTION,
    keyField: SALES_KEY,
    signal: abort.signal,
    onProgress: () => undefined,
  });
  return {
    stop: async () => {
      abort.abort();
      await end;
    },
  };
}

/** What one writes without Drover: the stream's events in their order, a thousand at a time. */
async function loopApplies(source: Db, target: Db, events: number, startAt: Timestamp): Promise<void> {
  const stream = source
    .collection(COLLECTION)
    .watch([], { fullDocument: 'updateLookup', startAtOperationTime: startAt, batchSize: BATCH });
  let batch: AnyBulkWriteOperation<Document>[] = [];
  for (let n = 0; n < events; n++) {
    batch.push(...applied(await stream.next()));
    if (batch.length >= BATCH || n === events - 1) {
      if (batch.length > 0) await target.collection(COLLECTION).bulkWrite(batch);
      batch = [];
    }
  }
  await stream.close();
}

function applied(event: ChangeStreamDocument<Document>): AnyBulkWriteOperation<Document>[] {
  if (event.operationType === 'delete') return [{ deleteOne: { filter: { _id: event.documentKey._id } } }];
  if (!('fullDocument' in event) || event.fullDocument == null) return [];
  const { _id, ...replacement } = event.fullDocument;
  return [{ replaceOne: { filter: { _id: _id as never }, replacement, upsert: true } }];
}

/** Time from a write at the source to its being applied, both by the servers' own clocks, which are one machine's. */
async function keepUp(nodes: TwoNodes, { documents, say }: BenchOptions): Promise<void> {
  const [source, target] = await prepared(nodes, 'steady', documents);
  const startAt = await operationTime(source);
  const following = await startFollowing(nodes, source, target, startAt);
  const writer = fork(fileURLToPath(new URL('./change-process.js', import.meta.url)));
  const settings: ChangeSettings = {
    uri: nodes.source.uri,
    database: 'steady',
    collection: COLLECTION,
    documents,
    rate: RATE,
    seconds: SECONDS,
    seed: 9,
  };
  writer.send(settings);
  const [acknowledged] = (await once(writer, 'message')) as [number];
  await new Markers(source).write('end', MIGRATION, 'forward');
  const checkpoint = new Checkpoint(target, MIGRATION, 'forward');
  if (!(await markerRead(checkpoint, ({ marker }) => marker === 'end', MAY_TAKE_MS)))
    throw new Error('never caught up');
  await following.stop();
  await expectSame(source, target);
  const waits = await applyTimes(nodes, startAt);
  const ms = (q: number) => `${quantile(waits, q).toFixed(0)} ms`;
  say(
    `${acknowledged.toLocaleString('en-US')} writes in ${SECONDS} s (${RATE.toLocaleString('en-US')}/s were due): ` +
      `applied after ${ms(0.5)} at the median, p99 ${ms(0.99)}, at most ${ms(1)}`,
  );
}

/** Of inserts and deletes, which are applied as such: from the source's change log to the target's. */
async function applyTimes({ source, target }: TwoNodes, startAt: bigint): Promise<number[]> {
  const log = (db: Db) => db.collection('oplog.rs').find({ ts: { $gt: timeToBson(startAt) } });
  const ns = `steady.${COLLECTION}`;
  const written = new Map<string, number>();
  for await (const { op, o, ns: where, wall } of log(source.client.db('local'))) {
    if (where === ns && op === 'i') written.set(String((o as Document)['_id']), (wall as Date).getTime());
  }
  const waits: number[] = [];
  for await (const { o, wall } of log(target.client.db('local'))) {
    for (const each of ((o as Document)['applyOps'] ?? []) as Document[]) {
      const at =
        each['ns'] === ns && each['op'] === 'i' ? written.get(String((each['o'] as Document)['_id'])) : undefined;
      if (at !== undefined) waits.push((wall as Date).getTime() - at);
    }
  }
  return waits;
}

async function expectSame(source: Db, target: Db): Promise<void> {
  const [ours, theirs] = await Promise.all(
    [source, target].map((db) =>
      db
        .collection(COLLECTION)
        .aggregate([{ $group: { _id: null, n: { $sum: 1 }, seq: { $sum: '$seq' } } }])
        .next(),
    ),
  );
  if (JSON.stringify(ours) !== JSON.stringify(theirs)) throw new Error('the copy differs from its source');
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const beganAt = performance.now();
  await work();
  return (performance.now() - beganAt) / 1000;
}
