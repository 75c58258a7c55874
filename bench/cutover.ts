import { table } from '../client/commands/presentation.js';
import { migrate, waitForMigration } from '../client/migrations.js';
import { operationTime } from '../store/change-log.js';
import type { BenchCluster } from './bench-cluster.js';
import { benchCluster } from './bench-cluster.js';
import type { Bench, BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import { filledKeyspace } from './filled-keyspace.js';
import { Load } from './load.js';
import type { LoadResult, LoadSettings } from './load-messages.js';
import { quantile } from './statistics.js';
import type { LoggedStep } from './step-log.js';
import { PARTS, stepLog } from './step-log.js';
import { stepWaits } from './step-waits.js';
import { stopCopySwitch } from './stop-copy-switch.js';

const AGAINST = 'stop, copy, switch';
/** A round is one migration and one move of the baseline. */
const ROUNDS = 3;
const COLLECTION = 'orders';
const MIGRATION = {
  // Steps stand apart, so that a write is waiting for one of them only.
  dwell: '1500ms',
  soak: '1s',
};
/** Servers that can't carry the load never let a hand-over through: then there is no figure. */
const COPY_MAY_TAKE_MS = 180_000;
const STEP_MAY_TAKE_MS = 10_000;

/**
 * The pause of a hand-over as the application feels it: the longest wait of any write during each boundary step, from
 * the moment at which it was due. One partition takes all writes, so that none passes a step by.
 */
export const cutover: Bench = {
  about: 'longest wait of a write in each step of a hand-over under load, against stopping, copying and switching',
  defaults: { documents: 200_000 },
  run: async (options) => {
    const cluster = await benchCluster(MIGRATION);
    try {
      const results: Comparison[] = [];
      for (const rate of options.rates) results.push(...(await atRate(cluster, rate, options)));
      return results;
    } finally {
      await cluster.stop();
    }
  },
};

/** What one migration measured. */
interface Migrated {
  readonly steps: readonly LoggedStep[];
  readonly waits: readonly number[];
  readonly quiet: readonly number[];
  readonly load: LoadResult;
}

async function atRate(cluster: BenchCluster, rate: number, options: BenchOptions): Promise<Comparison[]> {
  const { say, documents } = options;
  const migrated: Migrated[] = [];
  const stopped: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    say(`${spoken(rate)} writes/s, round ${round + 1} of ${ROUNDS}`);
    const settings: LoadSettings = {
      through: 'router',
      uri: cluster.configuration.catalog,
      nodes: cluster.configuration.nodeUris,
      database: `bench-${rate}-${round}`,
      collection: COLLECTION,
      documents,
      rate,
      seed: 1_000 * rate + round,
    };
    migrated.push(await migrationUnderLoad(cluster, settings, Math.ceil(options.steps / ROUNDS)));
    stopped.push(longestWait(await baseline(cluster, settings, round)));
  }
  describe(rate, migrated, say);
  if (migrated.some(({ load }) => load.failed > 0)) throw new Error('a hand-over must not fail a request');
  const against = (name: string, waits: (each: Migrated) => readonly number[], q: number) =>
    comparison(
      { case: `${name}, at ${spoken(rate)} writes/s`, against: AGAINST, unit: 'ms' },
      'lower',
      migrated.map((each, round) => ({ drover: quantile(waits(each), q), baseline: stopped[round]! })),
    );
  return [
    against('longest wait per step, median', ({ waits }) => waits, 0.5),
    against('longest wait per step, p99', ({ waits }) => waits, 0.99),
    against('longest wait per step, max', ({ waits }) => waits, 1),
    against('longest wait between two steps, p99', ({ quiet }) => quiet, 0.99),
  ];
}

async function migrationUnderLoad(cluster: BenchCluster, settings: LoadSettings, steps: number): Promise<Migrated> {
  const { control, configuration } = cluster;
  const keyspace = `${settings.database}.${COLLECTION}`;
  const [partition] = await filledKeyspace(cluster, keyspace, settings.documents);

  const since = {
    catalog: await operationTime(cluster.catalog.db('admin')),
    nodes: Object.fromEntries(
      await Promise.all(
        Object.entries(cluster.nodes).map(
          async ([name, client]) => [name, await operationTime(client.db('admin'))] as const,
        ),
      ),
    ),
  };
  const load = await Load.start(settings);
  let result: LoadResult;
  try {
    const target = control.nodes.names.find((name) => name !== partition!.route.source)!;
    const weights = Array.from({ length: steps }, (_, i) => Math.round((10_000 * (i + 1)) / steps) / 100);
    await migrate(control, { keyspace, partition: partition!.name, target, weights });
    const mayTakeMs = COPY_MAY_TAKE_MS + steps * STEP_MAY_TAKE_MS;
    const { outcome } = await waitForMigration(control, keyspace, partition!.name, mayTakeMs);
    if (outcome !== 'completed') throw new Error(`the migration ended as "${outcome}"`);
    result = await load.stop();
  } finally {
    load.kill();
  }
  const logged = await stepLog({
    catalog: cluster.catalog,
    catalogDatabase: configuration.catalogDatabase,
    nodes: cluster.nodes,
    database: settings.database,
    partition: partition!.id,
    since,
  });
  const { steps: waits, quiet } = stepWaits(logged, result);
  return { steps: logged, waits, quiet, load: result };
}

/** The same documents, load and servers; the direction changes from round to round. */
function baseline({ nodes, configuration }: BenchCluster, settings: LoadSettings, round: number): Promise<LoadResult> {
  const sides = Object.entries(nodes).map(([name, client]) => ({ uri: configuration.nodeUris[name]!, client }));
  if (round % 2 === 1) sides.reverse();
  return stopCopySwitch(sides[0]!, sides[1]!, { ...settings, through: 'gate', database: `plain-${settings.database}` });
}

function longestWait({ intended, answered, failed, failures }: LoadResult): number {
  if (failed > 0) throw new Error(`the baseline failed ${failed} writes, such as: ${failures[0]}`);
  return answered.reduce((longest, at, i) => Math.max(longest, at - intended[i]!), 0);
}

/** The figures over all steps, and where their time goes. */
function describe(rate: number, migrated: readonly Migrated[], say: BenchOptions['say']): void {
  const steps = migrated.flatMap((each) => each.steps);
  const rows: [string, number[]][] = [
    ['longest wait per step', migrated.flatMap(({ waits }) => [...waits])],
    ['longest wait between two steps', migrated.flatMap(({ quiet }) => [...quiet])],
    ['step, begin to settled', steps.map(({ begin, settle }) => settle - begin)],
    ...PARTS.map((part): [string, number[]] => [
      `  ${part}`,
      steps.flatMap(({ undone, parts }) => (undone || parts[part] === undefined ? [] : [parts[part]])),
    ]),
  ];
  const ms = (q: number) => (row: [string, number[]]) => quantile(row[1], q).toFixed(0);
  const figures = table(
    rows.filter(([, values]) => values.length > 0),
    [
      { title: 'milliseconds', value: ([name]) => name },
      { title: 'min', value: ms(0), right: true },
      { title: 'median', value: ms(0.5), right: true },
      { title: 'p99', value: ms(0.99), right: true },
      { title: 'max', value: ms(1), right: true },
    ],
    'no step was made',
  );
  const sum = (count: (each: Migrated) => number) => migrated.reduce((total, each) => total + count(each), 0);
  const failures = migrated.flatMap(({ load }) => load.failures);
  say(
    [
      '',
      `${steps.length} boundary steps at ${spoken(rate)} writes/s, of which undone: ${steps.filter(({ undone }) => undone).length}`,
      `${spoken(sum(({ load }) => load.intended.length))} writes, of which failed: ${sum(({ load }) => load.failed)}`,
      ...failures.map((failure) => `  ${failure}`),
      figures,
      '',
    ].join('\n'),
  );
}

const spoken = (value: number): string => value.toLocaleString('en-US');
