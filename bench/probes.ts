import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeProbe } from '../store/catalog/nodes.js';
import { connect } from '../store/connect.js';
import { probeNode } from '../store/node-status.js';
import { startMongod } from '../temporal-config/mongod.js';
import type { Bench, Comparison } from './bench.js';
import { spread } from './statistics.js';

const COLLECTIONS = 200;
const PROBES = 100;
/** The default time between two forecasts, each of which probes all nodes. */
const PERIOD_S = 300;
/** One per cent of a core, in milliseconds of CPU for each probe. */
const GOAL_MS = 0.01 * 1_000 * PERIOD_S;
/** Of the kernel, which counts CPU time in them. */
const TICKS_PER_SECOND = 100;

/** What probing costs the node that is probed: CPU of its process over many probes, without what it uses anyway. */
export const probes: Bench = {
  about: 'what the probes of a node cost it, at the default period',
  defaults: { documents: COLLECTIONS },
  run: async ({ documents: collections, rounds, say }) => {
    const dir = await mkdtemp(join(tmpdir(), 'drover-bench-'));
    const server = await startMongod({ name: 'us-1', dir });
    const client = await connect(server.uri, 'us-1');
    try {
      for (let i = 0; i < collections; i++)
        await client.db('shop').collection(`orders.p${i}`).insertOne({ customerId: i });
      let previous: NodeProbe = await probeNode(client);
      const millis: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const [before, startedAt] = [await cpuSeconds(server.pid), performance.now()];
        for (let i = 0; i < PROBES; i++) previous = await probeNode(client, previous);
        const took = performance.now() - startedAt;
        const probing = (await cpuSeconds(server.pid)) - before;
        const idleFrom = await cpuSeconds(server.pid);
        await sleep(took);
        const idle = (await cpuSeconds(server.pid)) - idleFrom;
        millis.push((1_000 * Math.max(0, probing - idle)) / PROBES);
        say(`${PROBES} probes in ${took.toFixed(0)} ms: ${millis.at(-1)!.toFixed(2)} ms of the server's CPU each`);
      }
      const cost = spread(millis);
      const result: Comparison = {
        case: `a probe of a node with ${collections} collections`,
        against: `1 % of a core, a probe each ${PERIOD_S} s`,
        unit: "ms of the server's CPU",
        drover: cost,
        baseline: { min: GOAL_MS, median: GOAL_MS, max: GOAL_MS },
        ratio: { min: GOAL_MS / cost.max, median: GOAL_MS / cost.median, max: GOAL_MS / cost.min },
      };
      return [result];
    } finally {
      await client.close();
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    }
  },
};

/** User and system time of a process, from `/proc`. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name of the program, in brackets, may have spaces in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
