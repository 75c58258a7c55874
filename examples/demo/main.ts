import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startAutomation, stopAutomation } from '../../client/automation.js';
import type { ControlContext } from '../../client/context.js';
import { openControl } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { registerNodes } from '../../client/nodes.js';
import type { Configuration } from '../../config/index.js';
import { createClock, loadConfiguration } from '../../config/index.js';
import { DroverClient } from '../../router/index.js';
import { forecastAccuracy } from '../../store/forecast-accuracy.js';
import { DEFAULT_DIRECTORY, readClusterEnvironment, startCluster, up } from '../../temporal-config/dev-cluster.js';
import { storedDocuments } from '../stored-documents.js';
import { readFlights } from './flights.js';
import { accessHistory } from './history.js';
import { ADDRESSES, NODES, REGIONS } from './places.js';
import { Replay } from './replay.js';
import type { Summary } from './summary.js';
import { describe, quantile, share, waitsPerStep } from './summary.js';

const KEYSPACE = 'air.flights';
/** Enough that most carriers have a partition of their own. */
const PARTITIONS = 80;
const DAY_MS = 24 * 3600_000;
/** History: January and February. The replay begins at the 1st of March, later by what loading takes. */
const HISTORY_FROM = Date.parse('2013-01-01T00:00:00Z');
const REPLAY_FROM = Date.parse('2013-03-01T00:00:00Z');
const REPLAY_DAYS = 42;
const REPLAY_SECONDS = 130;
/** Drover's milliseconds per real one: six weeks in little more than two minutes. */
const RATE = (REPLAY_DAYS * DAY_MS) / (REPLAY_SECONDS * 1000);
const MOVES_MAY_TAKE_MS = 60_000;

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean', default: false }, keep: { type: 'boolean', default: false } },
});
/** With --json, standard output ends with the one object; everything else goes beside it. */
const say = (line: string) => (flags.json ? console.error(line) : console.log(line));

/**
 * The main job, start to end, on real servers and real data: accesses to flights, keyed by carrier, move between three
 * airports; scheduled forecasts move the partitions after them, ahead of time; nothing is lost.
 */
async function main(): Promise<void> {
  const begunAt = performance.now();
  say('Starting three nodes (EWR, JFK, LGA), the catalog, Temporal and a worker ...');
  const servers = await start();
  const control = await openControl({ configuration: servers.configuration });
  const clients = new Map<string, DroverClient>();
  try {
    const now = createClock(servers.configuration);
    await stopAutomation(control, 'demo');
    await registerNodes(control.catalog, servers.configuration);
    const created = await createKeyspace(control, { name: KEYSPACE, key: 'carrier', partitions: PARTITIONS });

    for (const region of REGIONS) clients.set(region, await connect(servers.configuration, region, now));
    const loader = await connect(servers.configuration, 'load', now, false);
    clients.set('load', loader);
    const replay = new Replay({
      keyspace: KEYSPACE,
      clients,
      regionOfNode: new Map(NODES.map(({ name, region }) => [name, region])),
      now,
      rate: RATE,
      onProgress: ({ accesses, time, localShare }) =>
        say(
          `  ${new Date(time).toISOString().slice(0, 10)}  ${accesses} accesses, ${(100 * localShare).toFixed(0)} % local`,
        ),
    });

    const before = await readFlights(HISTORY_FROM, REPLAY_FROM);
    say(`Loading ${before.length} flights of January and February ...`);
    await replay.load(loader, before);
    // From here on the clock of the replay runs; what happened before is history.
    const startsAt = now() + 1_000 * RATE;
    const history = await readFlights(HISTORY_FROM, startsAt);
    for (const records of chunks(accessHistory(KEYSPACE, history, created), 5_000))
      await control.catalog.access.append(records);
    const flights = await readFlights(startsAt, startsAt + REPLAY_DAYS * DAY_MS);

    say(
      `Replaying ${flights.length} accesses from ${new Date(startsAt).toISOString().slice(0, 10)}, one day in ${(DAY_MS / RATE / 1000).toFixed(1)} s ...`,
    );
    await startAutomation(control, 'demo');
    await replay.run(flights, before);

    say('Letting the last moves finish ...');
    await finishMoves(control);
    for (const client of clients.values()) await client.close();

    const summary = await summarize(control, replay, performance.now() - begunAt);
    say('');
    say(describe(summary));
    for (const failure of new Set(replay.failures)) say(`  failed: ${failure}`);
    if (servers.addresses !== undefined) say(`\nStill running. ${servers.addresses}`);
    if (flags.json) console.log(JSON.stringify(summary));
    const { writesLost, duplicates } = summary;
    if (writesLost + duplicates > 0) process.exitCode = 1;
  } finally {
    await control.close();
    await servers.stop();
  }
}

interface Servers {
  readonly configuration: Configuration;
  readonly addresses?: string;
  stop(): Promise<void>;
}

/** Servers that end with the demonstration, or with --keep go on after it. */
async function start(): Promise<Servers> {
  const options = { nodes: [...NODES], workers: 1, progress: !flags.json, configuration: configuration() };
  if (flags.keep) {
    if (existsSync(DEFAULT_DIRECTORY)) {
      throw new Error(`${DEFAULT_DIRECTORY} is there already: "npx drover down --purge" removes it, with its data`);
    }
    const { config, temporal } = await up(options);
    const env = { ...process.env, ...(await readClusterEnvironment(DEFAULT_DIRECTORY)) };
    return {
      configuration: await loadConfiguration({ path: config, env }),
      addresses: `Temporal's UI: ${temporal.uiUrl}   Commands: npx drover partition list ${KEYSPACE}   End: npx drover down --purge`,
      stop: async () => {},
    };
  }
  const directory = await mkdtemp(join(tmpdir(), 'drover-demo-'));
  const cluster = await startCluster({ ...options, directory, ui: false });
  return {
    configuration: await loadConfiguration({ path: cluster.config, env: { ...process.env, ...cluster.env } }),
    stop: async () => {
      await cluster.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What drover.yaml says for the demonstration: times of access and forecast are the replay's, of moves real ones. */
function configuration() {
  return {
    mode: 'automatic',
    clock: { from: new Date(REPLAY_FROM).toISOString(), startedAt: new Date().toISOString(), rate: RATE },
    policy: {
      access: { window: '6h' },
      forecast: { every: 12_000 * RATE, window: '6h', history: '56d', horizon: '7d', season: ['1d', '7d'] },
      anomalies: { every: 12_000 * RATE },
      plan: { trigger: 0.6, minimumGain: 0.1, minimumRequests: 20, dwell: '7d' },
      migration: { concurrency: 3, perNode: 3, dwell: '500ms', soak: '1s' },
    },
  };
}

const connect = (configuration: Configuration, region: string, now: () => number, recordAccess = true) =>
  DroverClient.connect(configuration.catalog, {
    region,
    nodes: configuration.nodeUris,
    ...(ADDRESSES[region] === undefined ? {} : { ip: ADDRESSES[region] }),
    now,
    recordAccess,
    accessFlushMS: 250,
  });

/** No new move begins; those under way go on to their end. */
async function finishMoves(control: ControlContext): Promise<void> {
  await control.catalog.settings.setAutomationStopped(true, 'demo', new Date());
  const deadline = performance.now() + MOVES_MAY_TAKE_MS;
  while ((await control.catalog.partitions.list(KEYSPACE)).some(({ handover }) => handover !== null)) {
    if (performance.now() > deadline) throw new Error(`moves did not finish within ${MOVES_MAY_TAKE_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function summarize(control: ControlContext, replay: Replay, ms: number): Promise<Summary> {
  const { catalog } = control;
  const finished = await catalog.migrations.list({ keyspace: KEYSPACE, state: 'completed' });
  const waits = waitsPerStep(finished, await catalog.partitions.list(KEYSPACE), replay.samples);
  const ledger = replay.ledger.check(await storedDocuments<{ _id: string; seq: number }>(control, KEYSPACE));
  for (const example of ledger.examples) say(`  ${example}`);
  const accuracy = await forecastAccuracy(catalog, KEYSPACE, { decidedOnly: true });
  const tenth = Math.floor(replay.local.length / 10);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    accesses: replay.local.length,
    migrations: finished.length,
    forecastMigrations: finished.filter(({ decision }) => decision !== undefined).length,
    documentsMoved: sum(finished.map(({ documents }) => documents)),
    bytesMoved: sum(finished.map(({ bytes }) => bytes)),
    writesAcknowledged: ledger.acknowledged,
    writesLost: ledger.lost + ledger.resurrected,
    duplicates: ledger.duplicates,
    requestsFailed: replay.failures.length,
    pauseMsMax: Math.max(0, ...waits),
    pauseMsP99: quantile(waits, 0.99),
    localShareBefore: round(share(replay.local.slice(0, tenth))),
    localShareAfter: round(share(replay.local.slice(-tenth))),
    forecastError: accuracy.relative === undefined ? null : round(accuracy.relative),
    seconds: Math.round(ms / 100) / 10,
  };
}

const round = (value: number) => Math.round(value * 1000) / 1000;

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}

await main();
