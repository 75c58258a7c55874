import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeProbe } from '../store/catalog/nodes.js';
import { TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import { collectionSizes } from '../store/collection-sizes.js';
import { connect } from '../store/connect.js';
import { probeNode } from '../store/node-status.js';
import { countIn } from '../store/part-count.js';
import { startMongod } from '../temporal-config/mongod.js';
import type { Bench, Comparison } from './bench.js';
import type { Spread } from './statistics.js';
import { spread } from './statistics.js';

const COLLECTIONS = 200;
/** In a collection that partitions share. */
const COUNTED = 100_000;
const TIMES = 100;
/** The default time between two forecasts, each of which probes all nodes; and that between two looks at sizes. */
const PERIOD_S = 300;
const HOUR_S = 3_600;
/** Part of a core that is the goal. */
const GOAL = 0.01;
/** Of the kernel, which counts CPU time in them. */
const TICKS_PER_SECOND = 100;

/** What probing costs the node that is probed: CPU of its process over many probes, without what it uses anyway. */
export const probes: Bench = {
  about: 'what the probes of a node, and sizes of its partitions, cost it, at the default period',
  defaults: { documents: COLLECTIONS },
  run: async ({ documents: collections, rounds, say }) => {
    const dir = await mkdtemp(join(tmpdir(), 'drover-bench-'));
    const server = await startMongod({ name: 'us-1', dir });
    const client = await connect(server.uri, 'us-1');
    try {
      const db = client.db('shop');
      const names = Array.from({ length: collections }, (_, i) => `orders.p${i}`);
      for (const [customerId, name] of names.entries()) await db.collection(name).insertOne({ customerId });
      const shared = db.collection('parcels');
      await shared.createIndex({ customerId: 'hashed' });
      await shared.insertMany(
        Array.from({ length: COUNTED }, (_, i) => ({ customerId: `c${i % 5_000}`, note: 'some' })),
      );
      const part = { keyField: 'customerId', tokens: { low: TOKEN_MIN, high: TOKEN_END } };
      const limits = { maxTimeMS: 60_000, signal: new AbortController().signal };
      let previous: NodeProbe = await probeNode(client);
      const measured = [
        {
          name: `a probe of a node with ${collections} collections`,
          periodS: PERIOD_S,
          once: async () => {
            previous = await probeNode(client, previous);
          },
        },
        {
          name: `sizes of ${collections} collections`,
          periodS: HOUR_S,
          once: () => collectionSizes({ node: 'us-1', db, names }),
        },
        {
          name: `a count of ${COUNTED} documents by their key's index`,
          periodS: HOUR_S,
          once: () => countIn(shared, part, limits),
        },
      ];
      const results: Comparison[] = [];
      for (const { name, periodS, once } of measured) {
        const millis: number[] = [];
        for (let round = 0; round < rounds; round++) {
          millis.push(await costOf(server.pid, once));
          say(`${name}: ${millis.at(-1)!.toFixed(2)} ms of the server's CPU`);
        }
        results.push(against(name, periodS, spread(millis)));
      }
      return results;
    } finally {
      await client.close();
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    }
  },
};

/** CPU of the server's process for one time, milliseconds. */
async function costOf(pid: number, once: () => Promise<unknown>): Promise<number> {
  const [before, startedAt] = [await cpuSeconds(pid), performance.now()];
  for (let i = 0; i < TIMES; i++) await once();
  const took = performance.now() - startedAt;
  const busy = (await cpuSeconds(pid)) - before;
  const idleFrom = await cpuSeconds(pid);
  await sleep(took);
  const idle = (await cpuSeconds(pid)) - idleFrom;
  return (1_000 * Math.max(0, busy - idle)) / TIMES;
}

function against(name: string, periodS: number, cost: Spread): Comparison {
  const goal = GOAL * 1_000 * periodS;
  return {
    case: name,
    against: `1 % of a core, once each ${periodS} s`,
    unit: "ms of the server's CPU",
    drover: cost,
    baseline: { min: goal, median: goal, max: goal },
    ratio: { min: goal / cost.max, median: goal / cost.median, max: goal / cost.min },
  };
}

/** User and system time of a process, from `/proc`. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name of the program, in brackets, may have spaces in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
