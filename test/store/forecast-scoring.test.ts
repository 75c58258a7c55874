import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Dependencies } from '../../activities/dependencies.js';
import { scoreDueForecasts } from '../../activities/forecast-scoring.js';
import { forecastSeriesOf } from '../../activities/forecast-series.js';
import { recentWindows } from '../../activities/plan.js';
import { GRACE_MS, loadHistory } from '../../activities/request-history.js';
import type { AccessRecord } from '../../domain/access.js';
import { Catalog } from '../../store/catalog/catalog.js';
import type { ForecastDocument } from '../../store/catalog/forecasts.js';
import type { PartitionRange } from '../../store/catalog/partition-range.js';
import { useServers } from './servers.js';

const { uris, clients } = useServers(1);
const HOUR = 3_600_000;
/** Older records would expire. */
const END = Math.floor(Date.now() / HOUR) * HOUR;
/** When the records of the last window have come. */
const NOW = END + GRACE_MS;
const keyspace = 'shop.orders';
const never = new AbortController().signal;
let catalog: Catalog;
beforeAll(async () => {
  catalog = await Catalog.open(uris[0]!);
});
afterAll(() => catalog.close());

const record = (partition: string, time: number, reads: number): AccessRecord => ({
  keyspace,
  partition,
  region: 'eu',
  time,
  reads,
  writes: 0,
  errors: 0,
  latencyMs: { sum: 0, max: 0 },
  clients: [],
  tokens: [],
});

const forecastOf = (partition: string, hoursAgo: number): ForecastDocument => ({
  _id: `${partition}/${hoursAgo}`,
  keyspace,
  partition,
  region: 'eu',
  madeAt: new Date(END - hoursAgo * HOUR),
  windowMs: HOUR,
  model: 'combination',
  mean: [10, 10],
  lower: [5, 5],
  upper: [15, 15],
  level: 0.8,
  naive: [8, 8],
  decided: false,
  ends: [1, 2],
  dueAt: new Date(END - (hoursAgo - 2) * HOUR),
  byModel: { 'seasonal-naive': [8, 8], forecast: [10, 10] },
});

it('forecasts are scored model by model once their time has come, and only once', async () => {
  await catalog.access.append([record('p0', END - 4 * HOUR, 9), record('p0', END - 3 * HOUR, 13)]);
  await catalog.access.append([record('p0', END - 2 * HOUR, 10), record('p1', END - 4 * HOUR, 10)]);
  await catalog.forecasts.insert(
    [forecastOf('p0', 4), forecastOf('p0', 2), forecastOf('p0', 1), forecastOf('p1', 4)],
    HOUR,
  );
  const forecast = { window: HOUR, history: 24 * HOUR, horizon: 2 * HOUR, season: [], level: 0.8, models: [] };
  const dependencies = { catalog, forecast } as unknown as Dependencies;
  const request = { keyspace, run: 'run', at: NOW, partitions: { first: 'p0', last: 'p0' } };
  expect(await scoreDueForecasts(dependencies, request, never)).toBe(2);
  expect(await scoreDueForecasts(dependencies, request, never)).toBe(0);

  const series = { keyspace, partition: 'p0', region: 'eu' };
  const errors = await catalog.forecasts.errors(series, { since: END - 24 * HOUR, ends: [1, 2] });
  // 9, 13 came for the one, 10 and nothing for the other.
  expect(errors).toEqual({
    'seasonal-naive': [
      { sum: 1 + 2, count: 2 },
      { sum: 5 + 8, count: 2 },
    ],
    forecast: [
      { sum: 1 + 0, count: 2 },
      { sum: 3 + 10, count: 2 },
    ],
  });
  expect(await catalog.forecasts.errors(series, { since: END - 24 * HOUR, ends: [2] })).toEqual({});
  const [scored] = await catalog.forecasts.list(keyspace, { partition: 'p0' });
  expect(scored).not.toHaveProperty('byModel');
});

it('only forecasts whose time has come are read, some at a time, and without what models said where nobody asks', async () => {
  const own = { keyspace: 'shop.many' };
  const pending = Array.from({ length: 50 }, (_, i) => ({ ...forecastOf(`q${i}`, 1), ...own }));
  const due = Array.from({ length: 130 }, (_, i) => ({ ...forecastOf(`p${i}`, 3), ...own }));
  await catalog.forecasts.insert([...pending, ...due], HOUR);
  const db = clients[0]!.db('drover');
  await db.command({ profile: 2, filter: { ns: 'drover.forecasts' } });
  const batches: number[] = [];
  const range = { from: END - 24 * HOUR, at: END, windowMs: HOUR };
  for await (const batch of catalog.forecasts.due(own.keyspace, {}, range)) batches.push(batch.length);
  await db.command({ profile: 0 });
  const profile = await db
    .collection('system.profile')
    .find({ 'command.comment': { $exists: false } })
    .toArray();
  expect(profile.reduce((sum, { docsExamined = 0 }) => sum + Number(docsExamined), 0)).toBe(130);
  expect(batches.reduce((sum, length) => sum + length, 0)).toBe(130);
  expect(Math.max(...batches)).toBeLessThanOrEqual(100);

  await catalog.forecasts.markDecided(['q0/1'], 48 * HOUR);
  const [latest] = await catalog.forecasts.latest(own.keyspace, 'q0');
  expect(latest).toMatchObject({ _id: 'q0/1', decided: true, mean: [10, 10] });
  expect(latest).not.toHaveProperty('byModel');
  // It is still scored when its time has come.
  expect(await catalog.forecasts.oldestDue(own.keyspace, { among: ['q0'] }, { ...range, at: END + HOUR })).toBe(
    END - HOUR,
  );
});

it('what is asked for of one partition has as much history as of all', async () => {
  const own = 'shop.idle';
  const busy = Array.from({ length: 12 }, (_, i) => ({ ...record('p0', END - (i + 1) * HOUR, 5), keyspace: own }));
  await catalog.access.append([...busy, { ...record('p1', END - 2 * HOUR, 9), keyspace: own }]);
  const grid = { start: END - 24 * HOUR, end: END, windowMs: HOUR, horizon: 1 };
  const requestsOf = async (partitions: PartitionRange) =>
    (await loadHistory(catalog, own, partitions, grid, never)).series.get('p1')!.get('eu')!.requests;
  const requests = await requestsOf({ among: ['p1'] });
  expect([...requests]).toEqual([...new Array<number>(10).fill(0), 9, 0]);
  expect(requests).toEqual(await requestsOf({}));
  expect((await loadHistory(catalog, 'shop.unknown', {}, grid, never)).series.size).toBe(0);
});

it('windows between logs are unknown where nobody else has counted, and no forecast is scored by them', async () => {
  const own = 'shop.logs';
  const at = (hours: number) => END - hours * HOUR;
  const count = (...ago: number[]) =>
    catalog.access.append(ago.map((each) => ({ ...record('p0', at(each), 5), keyspace: own })));
  await count(12, 11, 10, 7, 6, 4);
  const grid = { start: at(24), end: END, windowMs: HOUR, horizon: 1 };
  const requests = async () => [
    ...(await loadHistory(catalog, own, {}, grid, never)).series.get('p0')!.get('eu')!.requests,
  ];
  expect(await requests()).toEqual([5, 5, 5, 0, 0, 5, 5, 0, 5, 0, 0, 0]);
  const logs = clients[0]!.db('drover').collection('ingestions');
  const log = (from: number, to: number) => ({ keyspace: own, from: new Date(at(from)), to: new Date(at(to)) });
  await logs.insertMany([log(12, 9.5), log(6.7, 1.5), { keyspace: own }]);
  // Of a window that a log begins or ends in, what there is counts.
  expect(await requests()).toEqual([5, 5, 5, NaN, NaN, 5, 5, 0, 5, 0, 0, NaN]);

  await catalog.forecasts.insert([{ ...forecastOf('p0', 2), keyspace: own, _id: 'gaps' }], HOUR);
  const forecast = { window: HOUR, history: 24 * HOUR, horizon: 2 * HOUR, season: [], level: 0.8, models: [] };
  const dependencies = { catalog, forecast } as unknown as Dependencies;
  expect(await scoreDueForecasts(dependencies, { keyspace: own, run: 'run', at: NOW }, never)).toBe(1);
  const [scored] = await catalog.forecasts.list(own);
  expect(scored!.errors!['forecast']).toEqual([
    { sum: 10, count: 1 },
    { sum: 0, count: 0 },
  ]);
  // Routers count by now, and have before.
  await catalog.access.append([8, 1].map((ago) => ({ ...record('p1', at(ago), 1), keyspace: own })));
  expect(await requests()).toEqual([5, 5, 5, 0, 0, 5, 5, 0, 5, 0, 0, 0]);
});

it('a plan of few partitions reads the load of all, and the clients of these alone', async () => {
  const own = 'shop.planned';
  const from = (partition: string): AccessRecord => ({
    ...record(partition, END - HOUR, 5),
    ...{ keyspace: own, clients: [['10.0.0.0/24', 5]] },
  });
  await catalog.access.append([from('p0'), from('p1')]);
  const grid = { start: END - 24 * HOUR, end: END, windowMs: HOUR, horizon: 2 };
  const recent = await recentWindows({ catalog }, { keyspace: own, partitions: { among: ['p1'] } }, grid);
  expect(recent.get('p0')).toMatchObject([{ reads: 5, clients: [] }]);
  expect(recent.get('p1')).toMatchObject([{ reads: 5, clients: [['10.0.0.0/24', 5]] }]);
  const all = await recentWindows({ catalog }, { keyspace: own }, grid);
  expect(all.get('p0')).toMatchObject([{ clients: [['10.0.0.0/24', 5]] }]);
});

it('forecasts and choices expire, those that were decided on later', async () => {
  const db = clients[0]!.db('drover');
  for (const name of ['forecasts', 'modelChoices']) {
    const expires = { key: { expireAt: 1 }, expireAfterSeconds: 0 };
    expect(await db.collection(name).indexes()).toContainEqual(expect.objectContaining(expires));
  }
  const [own, at] = ['shop.expiring', Date.now()];
  await catalog.forecasts.insert(
    ['p0', 'p1'].map((name) => ({ ...forecastOf(name, 5), _id: name, keyspace: own })),
    HOUR,
  );
  await catalog.forecasts.markDecided(['p1'], 48 * HOUR);
  const left = (await catalog.forecasts.list(own)).map(({ expireAt }) => Math.round((expireAt!.getTime() - at) / HOUR));
  expect(left.sort((a, b) => a - b)).toEqual([1, 48]);
});

it('a choice of models replaces the one before, and is found by the range of its partition', async () => {
  const choice = { seasons: [24], unit: 1, ends: [2], models: [], errorQuantiles: [[0]], origins: 3, failures: [] };
  const document = (partition: string, request: string) => ({
    ...{ _id: `${keyspace}/${partition}/eu`, keyspace, partition, region: 'eu' },
    ...{ chosenAt: new Date(END), request, choice },
  });
  await catalog.modelChoices.record([document('p0', 'old'), document('p1', 'old')], HOUR);
  await catalog.modelChoices.record([document('p0', 'new')], HOUR);
  expect(await catalog.modelChoices.list(keyspace, { first: 'p0', last: 'p0' })).toMatchObject([document('p0', 'new')]);
  expect(await catalog.modelChoices.list(keyspace)).toHaveLength(2);
});

it('a series that cannot be forecast does not keep the others from being forecast', async () => {
  const own = 'shop.failing';
  const hours = Array.from({ length: 72 }, (_, i) => i + 1);
  await catalog.access.append(hours.map((ago) => ({ ...record('p0', END - ago * HOUR, 20), keyspace: own })));
  // No interval has this level: the thread refuses.
  const policy = { window: HOUR, history: 72 * HOUR, horizon: HOUR, season: [24 * HOUR], level: 2, models: ['level'] };
  const dependencies = { catalog, forecast: { ...policy, every: HOUR }, clockRate: 1 } as unknown as Dependencies;
  const kinds: string[] = [];
  const request = { keyspace: own, run: 'run', at: NOW };
  for await (const { kind } of forecastSeriesOf(dependencies, request, never)) kinds.push(kind);
  expect(kinds).toEqual(['failed']);
});

it('choices that have become old are made anew when there is time for that, the oldest first', async () => {
  const own = 'shop.choices';
  const hours = Array.from({ length: 96 }, (_, i) => i + 1);
  const records = ['p0', 'p1'].flatMap((name) =>
    hours.map((ago) => ({ ...record(name, END - ago * HOUR, 20 + (ago % 24)), keyspace: own })),
  );
  await catalog.access.append(records);
  const run = async (at: number, every: number) => {
    const policy = { every, window: HOUR, history: 96 * HOUR, horizon: 2 * HOUR, season: [24 * HOUR], level: 0.8 };
    const forecast = { ...policy, models: ['level'] };
    const dependencies = { catalog, forecast, clockRate: 1 } as unknown as Dependencies;
    const chosen: string[] = [];
    for await (const result of forecastSeriesOf(dependencies, { keyspace: own, run: String(at), at }, never)) {
      if (result.kind === 'made' && result.newChoice !== undefined) {
        chosen.push(result.document.partition);
        await catalog.modelChoices.record(
          [{ ...result.newChoice, chosenAt: new Date(END - HOURS[result.document.partition]! * HOUR) }],
          HOUR,
        );
      }
    }
    return chosen;
  };
  const HOURS: Record<string, number> = { p0: 0, p1: 9 };
  expect((await run(NOW, HOUR)).sort()).toEqual(['p0', 'p1']);
  // No time for any.
  expect(await run(NOW + 48 * HOUR, 0)).toEqual([]);
  expect(await run(NOW + 48 * HOUR, HOUR)).toEqual(['p1', 'p0']);
});
