import type { Bench, BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import { copyPartitions } from './copy-partitions.js';
import { DUMP, dumpAndRestore, hasTools } from './dump-and-restore.js';
import type { MoverResult } from './mover-messages.js';
import { COLLECTION, DATABASE, moved, spokenResult } from './mover.js';
import { fillSales, SALES_INDEXES } from './sales.js';
import type { TwoNodes } from './two-nodes.js';
import { twoNodes } from './two-nodes.js';

const LOOP = 'plain driver';

/** A hundredth of the documents that were asked for: at a million, 10,000 of 1 MB. */
const LARGE = { share: 0.01, paddingBytes: 1_000_000 - 500 };

/** The copy of a partition, its indexes included, against what else there is to make one. */
export const copy: Bench = {
  about: 'copying a partition with its indexes, against mongodump | mongorestore and a loop with the driver',
  defaults: { documents: 1_000_000 },
  cases: {
    small: 'documents of 500 bytes',
    large: 'a hundredth as many of 1 MB: takes more than an hour on a small machine',
    partitions: '100 partitions with all documents between them, moved by migrations that are asked for at once',
  },
  run: async (options) => {
    const { documents, cases } = options;
    const results: Comparison[] = [];
    if (cases.some((name) => name !== 'partitions')) results.push(...(await copies(options)));
    if (cases.includes('partitions')) results.push(await copyPartitions(options, Math.ceil(documents / 100)));
    return results;
  },
};

async function copies(options: BenchOptions): Promise<Comparison[]> {
  const { documents, cases, say } = options;
  const withDump = await hasTools();
  if (!withDump) say('mongodump and mongorestore are neither on the PATH nor in MONGO_TOOLS: without them');
  const nodes = await twoNodes();
  try {
    const small = cases.includes('small') ? await compare(nodes, options, withDump, documents, 0) : [];
    const few = Math.ceil(documents * LARGE.share);
    const large = cases.includes('large') ? await compare(nodes, options, withDump, few, LARGE.paddingBytes) : [];
    return [...small, ...large];
  } finally {
    await nodes.stop();
  }
}

interface Measured {
  readonly drover: MoverResult;
  readonly loop: MoverResult;
  readonly dump: number | undefined;
}

async function compare(
  nodes: TwoNodes,
  { rounds, say }: BenchOptions,
  withDump: boolean,
  documents: number,
  paddingBytes: number,
): Promise<Comparison[]> {
  const size = paddingBytes === 0 ? '' : ' of 1 MB';
  const name = `copy ${documents.toLocaleString('en-US')} documents${size}, ${SALES_INDEXES.length} indexes`;
  say(`${name}: filling the source`);
  const source = nodes.source.client.db(DATABASE);
  await fillSales(source, COLLECTION, documents, paddingBytes);
  const measured: Measured[] = [];
  for (let round = 0; round < rounds; round++) {
    const drover = await emptyTarget(nodes, documents, () => moved(nodes, 'copy'));
    const dump = withDump ? await emptyTarget(nodes, documents, () => dumpAndRestore(nodes)) : undefined;
    const loop = await emptyTarget(nodes, documents, () => moved(nodes, 'copy by a loop'));
    measured.push({ drover, loop, dump });
    say(
      `round ${round + 1}: drover ${spokenResult(drover)}, ` +
        `${dump === undefined ? '' : `${DUMP} ${dump.toFixed(1)} s, `}${LOOP} ${spokenResult(loop)}`,
    );
  }
  await source.dropDatabase();
  const against = (what: string, baseline: (each: Measured) => number) =>
    comparison(
      { case: name, against: what, unit: 's' },
      'lower',
      measured.map((each) => ({ drover: each.drover.seconds, baseline: baseline(each) })),
    );
  return [...(withDump ? [against(DUMP, ({ dump }) => dump!)] : []), against(LOOP, ({ loop }) => loop.seconds)];
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
