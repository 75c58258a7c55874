import { isDeepStrictEqual } from 'node:util';
import type { Db, MongoClient } from 'mongodb';
import { TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import { backfill } from '../store/backfill.js';
import { operationTime } from '../store/change-log.js';
import { Checkpoint } from '../store/checkpoint.js';
import { connect } from '../store/connect.js';
import { readDefinition } from '../store/collection-definition.js';
import { createLanes } from '../store/copy-lane.js';
import { createFenced } from '../store/fenced-collection.js';
import { buildIndexes, indexesToCopy } from '../store/shadow-indexes.js';
import { Throttle } from '../store/throttle.js';
import { verify } from '../store/verify.js';
import { letHeapGrow } from '../workers/heap.js';
import { copyByLoop } from './driver-loop.js';
import type { MoverResult, MoverSettings } from './mover-messages.js';
import { SALES_KEY } from './sales.js';

/** Does one thing once, as a process of its own, whose memory is that of a worker. */
const MEGABYTE = 1_000_000;
const LOOK_MS = 50;
const LOOP_BATCH = 1_000;
const MIGRATION = 'bench';

interface Both {
  readonly source: MongoClient;
  readonly target: MongoClient;
  readonly from: Db;
  readonly to: Db;
  readonly collection: string;
}

/** @returns how many documents differ, where that was asked */
type Work = (both: Both) => Promise<number | undefined>;

const bulk = ({ source, target, from, collection }: Both) => ({
  source,
  target,
  database: from.databaseName,
  collection,
  throttle: new Throttle(0),
  signal: new AbortController().signal,
  onProgress: () => undefined,
});

const WORK: Readonly<Record<MoverSettings['how'], Work>> = {
  /** As the activities createShadow and backfill do. */
  copy: async (both) => {
    const { from, to, collection } = both;
    await createFenced(to, collection, { keyField: SALES_KEY, accepted: [] });
    const { unique, others } = indexesToCopy((await readDefinition(from, collection))!);
    await buildIndexes(to, collection, unique);
    const startAt = await operationTime(from);
    await new Checkpoint(to, MIGRATION, 'forward').create({ low: TOKEN_MIN, high: TOKEN_END }, startAt);
    await createLanes(to, MIGRATION);
    await backfill({ ...bulk(both), migration: MIGRATION });
    await buildIndexes(to, collection, others);
    return undefined;
  },

  'copy by a loop': async ({ from, to, collection }) => {
    await copyByLoop(from, to, collection);
    return undefined;
  },

  verify: async (both) => {
    const settle = () => Promise.resolve();
    const { different } = await verify({ ...bulk(both), migration: MIGRATION, settle });
    return different.length;
  },

  'compare by a loop': async ({ from, to, collection }) => {
    const inOrder = (db: Db) => db.collection(collection).find({}, { batchSize: LOOP_BATCH, sort: { _id: 1 } });
    const theirs = inOrder(to);
    let different = 0;
    for await (const document of inOrder(from)) {
      if (!isDeepStrictEqual(document, await theirs.next())) different += 1;
    }
    await theirs.close();
    return different;
  },
};

async function move(settings: MoverSettings): Promise<MoverResult> {
  const source = await connect(settings.source, 'source');
  const target = await connect(settings.target, 'target');
  const { database, collection, how } = settings;
  letHeapGrow();
  const idleMb = residentMb();
  let peakMb = idleMb;
  const timer = setInterval(() => (peakMb = Math.max(peakMb, residentMb())), LOOK_MS);
  const beganAt = performance.now();
  const different = await WORK[how]({ source, target, from: source.db(database), to: target.db(database), collection });
  const seconds = (performance.now() - beganAt) / 1000;
  clearInterval(timer);
  await Promise.all([source.close(), target.close()]);
  return { seconds, idleMb, peakMb, ...(different === undefined ? {} : { different }) };
}

const residentMb = (): number => process.memoryUsage.rss() / MEGABYTE;

process.once('message', (settings: MoverSettings) => {
  move(settings)
    .then((result) => process.send!(result))
    .catch((error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    })
    .finally(() => process.disconnect());
});
