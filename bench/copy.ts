import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { Bench, BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import type { MoverResult, MoverSettings } from './mover-messages.js';
import { fillSales } from './sales.js';
import type { TwoNodes } from './two-nodes.js';
import { twoNodes } from './two-nodes.js';

const DATABASE = 'bench';
const COLLECTION = 'sales';
const DUMP = 'dump | restore';
const LOOP = 'driver loop';

/** A hundredth of the documents that were asked for: at a million, 10,000 of 1 MB. */
const LARGE = { share: 0.01, paddingBytes: 1_000_000 - 500 };

/** The copy of a partition, its indexes included, against what else there is to make one. */
export const copy: Bench = {
  about: 'copying a partition with its indexes, against mongodump | mongorestore and a loop with the driver',
  defaults: { documents: 1_000_000 },
  run: async (options) => {
    await tools();
    const nodes = await twoNodes();
    try {
      const small = await compare(nodes, options, options.documents, 0);
      const large = await compare(nodes, options, Math.ceil(options.documents * LARGE.share), LARGE.paddingBytes);
      return [...small, ...large];
    } finally {
      await nodes.stop();
    }
  },
};

async function compare(
  nodes: TwoNodes,
  { rounds, say }: BenchOptions,
  documents: number,
  paddingBytes: number,
): Promise<Comparison[]> {
  const name = `${documents.toLocaleString('en-US')} documents of ${paddingBytes === 0 ? '500 bytes' : '1 MB'}`;
  say(`filling the source with ${name}`);
  const source = nodes.source.client.db(DATABASE);
  await fillSales(source, COLLECTION, documents, paddingBytes);
  const measured: { drover: MoverResult; loop: MoverResult; dump: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const drover = await emptyTarget(nodes, documents, () => moved(nodes, 'drover'));
    const dump = await emptyTarget(nodes, documents, () => dumpAndRestore(nodes));
    const loop = await emptyTarget(nodes, documents, () => moved(nodes, 'driver'));
    measured.push({ drover, loop, dump });
    const { seconds, idleMb, peakMb } = drover;
    say(
      `round ${round + 1}: drover ${seconds.toFixed(1)} s (memory ${idleMb.toFixed(0)} MB, at most ${peakMb.toFixed(0)} MB), ` +
        `${DUMP} ${dump.toFixed(1)} s, ${LOOP} ${loop.seconds.toFixed(1)} s`,
    );
  }
  await source.dropDatabase();
  const against = (what: string, baseline: (each: (typeof measured)[number]) => number) =>
    comparison(
      { case: name, against: what, unit: 's' },
      'lower',
      measured.map((each) => ({ drover: each.drover.seconds, baseline: baseline(each) })),
    );
  return [against(DUMP, ({ dump }) => dump), against(LOOP, ({ loop }) => loop.seconds)];
}

/** @throws Error when the target does not hold as many documents and indexes as the source afterwards */
async function emptyTarget<T>(nodes: TwoNodes, documents: number, run: () => Promise<T>): Promise<T> {
  const target = nodes.target.client.db(DATABASE);
  await target.dropDatabase();
  const result = await run();
  const count = await target.collection(COLLECTION).countDocuments();
  if (count !== documents) throw new Error(`${count} of ${documents} documents were copied`);
  const [ours, theirs] = await Promise.all(
    [nodes.source, nodes.target].map(({ client }) => client.db(DATABASE).collection(COLLECTION).indexes()),
  );
  if (ours!.length !== theirs!.length) throw new Error('not every index was copied');
  return result;
}

async function moved(nodes: TwoNodes, how: MoverSettings['how']): Promise<MoverResult> {
  const mover = fork(fileURLToPath(new URL('./mover-process.js', import.meta.url)));
  const settings: MoverSettings = {
    how,
    source: nodes.source.uri,
    target: nodes.target.uri,
    database: DATABASE,
    collection: COLLECTION,
  };
  mover.send(settings);
  const [result] = (await Promise.race([
    once(mover, 'message'),
    once(mover, 'exit').then(() => Promise.reject(new Error('the mover has failed'))),
  ])) as [MoverResult];
  return result;
}

async function dumpAndRestore(nodes: TwoNodes): Promise<number> {
  const beganAt = performance.now();
  const dump = spawn('mongodump', [`--uri=${nodes.source.uri}`, `--db=${DATABASE}`, '--archive', '--quiet'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const restore = spawn(
    'mongorestore',
    [`--uri=${nodes.target.uri}`, '--archive', '--numInsertionWorkersPerCollection=4', '--quiet'],
    { stdio: ['pipe', 'inherit', 'inherit'] },
  );
  const ends = Promise.all([once(dump, 'exit'), once(restore, 'exit')]);
  await pipeline(dump.stdout, restore.stdin);
  for (const [code] of await ends) if (code !== 0) throw new Error(`${DUMP} has failed (${String(code)})`);
  return (performance.now() - beganAt) / 1000;
}

/** @throws Error before anything is measured when the baseline is not there */
async function tools(): Promise<void> {
  for (const tool of ['mongodump', 'mongorestore']) {
    const [code] = (await once(spawn(tool, ['--version'], { stdio: 'ignore' }), 'exit').catch(() => [1])) as [number];
    if (code !== 0) throw new Error(`${tool} is not on the PATH: install the MongoDB Database Tools`);
  }
}
