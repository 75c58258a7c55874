import type { Document } from 'mongodb';
import { TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import { backfill } from '../store/backfill.js';
import { operationTime } from '../store/change-log.js';
import { Checkpoint } from '../store/checkpoint.js';
import { connect } from '../store/connect.js';
import { createLanes } from '../store/copy-lane.js';
import { createFenced } from '../store/fenced-collection.js';
import { buildIndexes, indexesToCopy } from '../store/shadow-indexes.js';
import { Throttle } from '../store/throttle.js';
import type { MoverResult, MoverSettings } from './mover-messages.js';
import { SALES_KEY } from './sales.js';

/** Copies once, as a process of its own: its memory is that of a worker. */
const MEGABYTE = 1_000_000;
const LOOK_MS = 50;
const LOOP_BATCH = 1_000;
const MIGRATION = 'bench';

async function move(settings: MoverSettings): Promise<MoverResult> {
  const source = await connect(settings.source, 'source');
  const target = await connect(settings.target, 'target');
  const { database, collection } = settings;
  const idleMb = residentMb();
  let peakMb = idleMb;
  const timer = setInterval(() => (peakMb = Math.max(peakMb, residentMb())), LOOK_MS);
  const beganAt = performance.now();
  const [from, to] = [source.db(database), target.db(database)];
  if (settings.how === 'drover') {
    // As the activities createShadow and backfill do.
    await createFenced(to, collection, { keyField: SALES_KEY, accepted: [] });
    const { unique, others } = await indexesToCopy(from, collection);
    await buildIndexes(to, collection, unique);
    const startAt = await operationTime(from);
    await new Checkpoint(to, MIGRATION, 'forward').create({ low: TOKEN_MIN, high: TOKEN_END }, startAt);
    await createLanes(to, MIGRATION);
    await backfill({
      migration: MIGRATION,
      source,
      target,
      database,
      collection,
      throttle: new Throttle(0),
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    await buildIndexes(to, collection, others);
  } else {
    let batch: Document[] = [];
    for await (const document of from.collection(collection).find({}, { batchSize: LOOP_BATCH })) {
      batch.push(document);
      if (batch.length < LOOP_BATCH) continue;
      await to.collection(collection).insertMany(batch);
      batch = [];
    }
    if (batch.length > 0) await to.collection(collection).insertMany(batch);
    const { others } = await indexesToCopy(from, collection);
    await to.command({ createIndexes: collection, indexes: others });
  }
  const seconds = (performance.now() - beganAt) / 1000;
  clearInterval(timer);
  await Promise.all([source.close(), target.close()]);
  return { seconds, idleMb, peakMb };
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
