import type { Bench, BenchOptions, Comparison, Round } from './bench.js';
import { comparison } from './bench.js';
import { Child } from './child.js';
import type {
  FromRequests,
  Operation,
  RequestResult,
  RequestSettings,
  RequestSlice,
  ToRequests,
} from './request-messages.js';
import { OPERATIONS } from './request-messages.js';
import type { RequestCluster } from './request-cluster.js';
import { requestCluster } from './request-cluster.js';
import type { MeasureRoutes, RoutesMeasured } from './routes-process.js';

const PARTITIONS = 8;
const CONCURRENCIES = [1, 16, 64];
/**
 * Short ones, many times in turn: what else goes on in the machine then meets both sides alike. Single slices differ by a quarter: a
 * difference of some hundredths is only seen in very many.
 */
const SLICE_MS = 100;
const TURNS = 32;
const RECORDED: readonly Operation[] = ['findOne', 'updateOne'];
const RECORDED_TURNS = 120;
const MANY_PARTITIONS = 100_000;
/** What was aimed at. */
const GOALS = { lookUp: 2, memory: 50, change: 1, record: 1, shape: 4, nobody: 0.1 };

/** What a request costs through the router: in time, in the application's CPU, and in memory. */
export const router: Bench = {
  about: "requests through the router against the plain driver on the same node; access records; the routes' own cost",
  defaults: { documents: 20_000 },
  cases: {
    requests: 'findOne, insertOne, updateOne, deleteOne by key, and a sorted find over all partitions',
    records: 'the same with and without access records',
    routes: `look-up, memory and changes of ${spoken(MANY_PARTITIONS)} routes`,
  },
  run: async (options) => {
    const results: Comparison[] = [];
    if (options.cases.includes('routes')) results.push(...(await routes()));
    if (options.cases.some((name) => name !== 'routes')) results.push(...(await requests(options)));
    return results;
  },
};

type Requests = Child<ToRequests, FromRequests>;

/** What two ways to send requests are compared by. */
interface Contest {
  readonly through: RequestSettings['through'];
  /** How the table calls it. */
  readonly against: string;
  readonly slices: readonly RequestSlice[];
  /** Pairs of slices in each round. */
  readonly turns: number;
}

async function requests({ documents, rounds, cases, say }: BenchOptions): Promise<Comparison[]> {
  const contests: Contest[] = [];
  if (cases.includes('requests')) {
    const slices = OPERATIONS.flatMap((operation) => CONCURRENCIES.map((concurrency) => slice(operation, concurrency)));
    contests.push({ through: 'driver', against: 'plain driver', slices, turns: TURNS });
  }
  if (cases.includes('records')) {
    const slices = RECORDED.map((operation) => slice(operation, 64));
    contests.push({ through: 'router without records', against: 'no access records', slices, turns: RECORDED_TURNS });
  }
  const cluster = await requestCluster(documents, PARTITIONS);
  try {
    const results: Comparison[] = [];
    for (const contest of contests) {
      const measured = contest.slices.map((): Both[] => []);
      for (let round = 1; round <= rounds; round++) {
        say(`against ${contest.against}, round ${round}: ${contest.turns} times ${SLICE_MS} ms of each`);
        for (const [i, pairs] of (await oneRound(cluster, contest)).entries()) measured[i]!.push(...pairs);
      }
      for (const [i, each] of contest.slices.entries()) results.push(...compared(each, contest.against, measured[i]!));
    }
    return results;
  } finally {
    await cluster.stop();
  }
}

const slice = (operation: Operation, concurrency: number): RequestSlice => ({ operation, concurrency, ms: SLICE_MS });

/** In processes of its own: one and the same program is faster in one process than in another, by some hundredths. */
async function oneRound(cluster: RequestCluster, { through, slices, turns }: Contest): Promise<Both[][]> {
  const children: Requests[] = [];
  const start = async (by: RequestSettings['through']): Promise<Requests> => {
    const child: Requests = new Child('request-process');
    children.push(child);
    await child.ask({ kind: 'start', settings: cluster.settings(by) });
    return child;
  };
  try {
    const [drover, baseline] = [await start('router'), await start(through)];
    const measured: Both[][] = [];
    for (const each of slices) measured.push(await inTurn(drover, baseline, each, turns));
    for (const child of children) {
      await child.ask({ kind: 'stop' });
      child.release();
    }
    return measured;
  } finally {
    for (const child of children) child.kill();
  }
}

interface Both {
  readonly drover: RequestResult;
  readonly baseline: RequestResult;
}

/** One side first, then the other. */
async function inTurn(drover: Requests, baseline: Requests, slice: RequestSlice, turns: number): Promise<Both[]> {
  const measured: Both[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const results = new Map<Requests, RequestResult>();
    for (const side of turn % 2 === 0 ? [drover, baseline] : [baseline, drover]) {
      const answer = await side.ask({ kind: 'measure', slice });
      if (answer.kind !== 'measured') throw new Error(`a request process answered "${answer.kind}"`);
      results.set(side, answer.result);
    }
    measured.push({ drover: results.get(drover)!, baseline: results.get(baseline)! });
  }
  return measured;
}

function compared(slice: RequestSlice, against: string, measured: readonly Both[]): Comparison[] {
  const figure = (name: string, unit: string, better: 'lower' | 'higher', of: (result: RequestResult) => number) =>
    comparison(
      { case: `${title(slice)}: ${name}`, against, unit },
      better,
      measured.map(({ drover, baseline }): Round => ({ drover: of(drover), baseline: of(baseline) })),
    );
  return [
    figure('throughput', 'requests/s', 'higher', ({ perSecond }) => perSecond),
    figure('latency, median', 'ms', 'lower', ({ p50 }) => p50),
    figure('latency, p99', 'ms', 'lower', ({ p99 }) => p99),
    figure('CPU of the application per request', 'µs', 'lower', ({ cpuMicros }) => cpuMicros),
  ];
}

async function routes(): Promise<Comparison[]> {
  const child = new Child<MeasureRoutes, RoutesMeasured>('routes-process', ['--expose-gc']);
  const measured = await child.ask({ kind: 'measure', partitions: MANY_PARTITIONS });
  const { lookUp, memory, change, split, record, shape, busyShape, entity } = measured;
  child.release();
  const all = `${spoken(MANY_PARTITIONS)} partitions`;
  const against = (name: string, unit: string, goal: number, measured: Comparison['drover']): Comparison => ({
    case: name,
    against: 'what was aimed at',
    unit,
    drover: measured,
    baseline: { min: goal, median: goal, max: goal },
    ratio: { min: goal / measured.max, median: goal / measured.median, max: goal / measured.min },
  });
  return [
    against(`route of a key among ${all}`, 'µs of CPU', GOALS.lookUp, lookUp),
    against(`routes of ${all}`, 'MB', GOALS.memory, { min: memory, median: memory, max: memory }),
    against(`change of a route among ${all}`, 'ms of CPU', GOALS.change, change),
    against(`split of a route among ${all}`, 'ms of CPU', GOALS.change, split),
    against('access record of a request', 'µs of CPU', GOALS.record, record),
    against('shape of a request, 250 in an interval', 'µs of CPU', GOALS.shape, shape),
    against('shape of a request, 50,000 in an interval', 'µs of CPU', GOALS.record, busyShape),
    ...entity.map(({ users, micros }) =>
      against(
        `entity of a request, ${users === 0 ? 'of no known user' : `${spoken(users)} users a minute`}`,
        'µs of CPU',
        users === 0 ? GOALS.nobody : GOALS.record,
        micros,
      ),
    ),
  ];
}

const title = ({ operation, concurrency }: RequestSlice): string =>
  `${operation === 'find' ? `find of all, sorted, limit 20, ${PARTITIONS} partitions` : operation}, concurrency ${concurrency}`;

function spoken(value: number): string {
  return value.toLocaleString('en-US');
}
