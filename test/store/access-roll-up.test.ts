import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessRecord } from '../../domain/access.js';
import type { CountsDocument, DetailsDocument, RecordDocument } from '../../store/catalog/access-documents.js';
import { AccessRollUp } from '../../store/catalog/access-roll-up.js';
import { Catalog } from '../../store/catalog/catalog.js';
import type { IngestionDocument } from '../../store/catalog/ingestions.js';
import { until, useServers } from './servers.js';

const { uris, clients } = useServers(1, ['--setParameter', 'ttlMonitorSleepSecs=1']);
const WINDOW = 1_000;
const HOUR = 12 * WINDOW;
const START = Math.floor(Date.now() / HOUR) * HOUR - 100 * HOUR;
const never = new AbortController().signal;
const KEPT = { keepWindowsMs: 3_600_000, keepHoursMs: 7_200_000 };
let catalog: Catalog;
beforeAll(async () => {
  catalog = await Catalog.open(uris[0]!, 'drover', WINDOW);
});
afterAll(() => catalog.close());

const db = () => clients[0]!.db('drover');
const record = (keyspace: string, time: number, more: Partial<AccessRecord> = {}): AccessRecord => ({
  keyspace,
  partition: 'p0',
  node: 'a',
  region: 'eu',
  time,
  reads: 3,
  writes: 1,
  errors: 1,
  latencyMs: { sum: 8, max: 5, bins: [[10, 4]] },
  clients: [['10.0.0.0/24', 4]],
  distinctClients: [7n],
  tokens: [[5n, 4]],
  ...more,
});
const many = (keyspace: string, count: number) =>
  Array.from({ length: count }, (_, i) => record(keyspace, START + (i % 24) * 500, { partition: `p${i % 3}` }));
const rollUp = (before = START + 50 * HOUR) => catalog.accessRollUp.run({ before, ...KEPT }, never);
const windows = (keyspace: string, windowMs = WINDOW) =>
  catalog.access.windows(keyspace, START - HOUR, START + 60 * HOUR, windowMs);
const left = (keyspace: string) => db().collection('accessRecords').countDocuments({ 'meta.keyspace': keyspace });
const requestsIn = (found: readonly { reads: number; writes: number }[]) =>
  found.reduce((sum, { reads, writes }) => sum + reads + writes, 0);

describe('access records that are rolled up', () => {
  it('are counted once, by several at once, again, and beside those of now', async () => {
    const keyspace = 'shop.once';
    await catalog.access.append(many(keyspace, 3_000));
    await catalog.access.append([record(keyspace, START + 55 * HOUR)]);
    const before = await windows(keyspace);
    let looking = true;
    const looks: number[] = [];
    const look = async () => {
      while (looking) looks.push(requestsIn(await windows(keyspace)));
    };
    const [, ...done] = await Promise.all(
      [look(), rollUp(), rollUp(), rollUp()].map((each, i) => (i === 0 ? Promise.resolve(0) : each)),
    );
    looking = false;
    expect((done as number[]).reduce((sum, count) => sum + count, 0)).toBe(3_000);
    // Whoever reads meanwhile finds each record once.
    expect(new Set(looks)).toEqual(new Set([3_001 * 4]));
    expect(await rollUp()).toBe(0);
    expect(await left(keyspace)).toBe(1);
    expect(await windows(keyspace)).toEqual(before);
    expect(requestsIn(await windows(keyspace, HOUR))).toBe(3_001 * 4);
  });

  it('are where they were after a crash in the middle', async () => {
    const keyspace = 'shop.crash';
    await catalog.access.append(many(keyspace, 100));
    const before = await windows(keyspace);
    const records = db().collection<RecordDocument>('accessRecords');
    records.deleteMany = () => Promise.reject(new Error('the process is gone'));
    const collections = {
      records,
      counts: db().collection<CountsDocument>('accessCounts'),
      details: db().collection<DetailsDocument>('accessDetails'),
      ingestions: db().collection<IngestionDocument>('ingestions'),
    };
    const dying = new AccessRollUp(clients[0]!, collections, WINDOW);
    await expect(dying.run({ before: START + 50 * HOUR, ...KEPT }, never)).rejects.toThrow('gone');
    expect(await windows(keyspace)).toEqual(before);
    expect(await rollUp()).toBe(100);
    expect(await windows(keyspace)).toEqual(before);
  });

  it('still count when they come late, or were written twice because an answer was lost', async () => {
    const keyspace = 'shop.late';
    const first = record(keyspace, START);
    await catalog.access.append([first]);
    await catalog.access.append([first, record(keyspace, START + 1)]);
    expect(requestsIn(await windows(keyspace))).toBe(8);
    await rollUp();
    await catalog.access.append([record(keyspace, START + 2, { latencyMs: { sum: 100, max: 90 } })]);
    expect(requestsIn(await windows(keyspace))).toBe(12);
    await rollUp();
    expect(await left(keyspace)).toBe(0);
    expect(await windows(keyspace)).toMatchObject([
      {
        partition: 'p0',
        region: 'eu',
        start: START,
        reads: 9,
        writes: 3,
        errors: 3,
        latencyMsSum: 116,
        latencyMsMax: 90,
      },
    ]);
  });

  it('know of as many bytes as before: none of those of earlier versions, which are not zero', async () => {
    const keyspace = 'shop.bytes';
    const known = { bytes: { read: 5_000_000_000, written: 20, requests: 4 } };
    await catalog.access.append([
      ...[record(keyspace, START), record(keyspace, START + 1, known), record(keyspace, START + 2, known)],
      record(keyspace, START + 5 * WINDOW),
    ]);
    const before = await windows(keyspace);
    expect(before[0]).toMatchObject({ reads: 9, bytes: { read: 10_000_000_000, written: 40, requests: 8 } });
    expect(before[1]).toMatchObject({ reads: 3 });
    expect(before[1]).not.toHaveProperty('bytes');
    await rollUp();
    expect(await windows(keyspace)).toEqual(before);
    await catalog.access.append([record(keyspace, START + 3, known)]);
    expect((await windows(keyspace))[0]).toMatchObject({ bytes: { read: 15_000_000_000, written: 60, requests: 12 } });
    await rollUp();
    expect((await windows(keyspace, HOUR))[0]).toMatchObject({ bytes: { written: 60, requests: 12 } });
  });

  it('have their first window in the middle of an hour, rolled up or not', async () => {
    const keyspace = 'shop.first';
    const first = START + HOUR + 3 * WINDOW;
    await catalog.access.append([record(keyspace, first + 1), record(keyspace, first + 5 * HOUR)]);
    expect(await catalog.access.firstWindow(keyspace, WINDOW)).toBe(first);
    await rollUp();
    expect(await catalog.access.firstWindow(keyspace, WINDOW)).toBe(first);
    expect(await catalog.access.firstWindow('shop.nobody', WINDOW)).toBeUndefined();
  });

  it('tell hour by hour who asked for what', async () => {
    const keyspace = 'shop.details';
    const other = {
      tokens: [
        [6n, 1],
        [5n, 3],
      ],
      clients: [['10.0.1.0/24', 4]],
      distinctClients: [8n],
    } as const;
    await catalog.access.append([record(keyspace, START + HOUR), record(keyspace, START + 2 * HOUR - 1, other)]);
    await rollUp();
    await catalog.access.append([record(keyspace, START + 55 * HOUR)]);
    const { access } = catalog;
    expect(await access.tokenLoads(keyspace, 'p0', START)).toEqual([
      { token: 5n, load: 11 },
      { token: 6n, load: 1 },
    ]);
    expect((await access.clients(keyspace, START)).get('p0')).toEqual([
      ['10.0.0.0/24', 8],
      ['10.0.1.0/24', 4],
    ]);
    const ofOthers = { range: { among: ['p1'] } };
    expect([...(await access.clients(keyspace, START, ofOthers)).keys()]).toEqual([]);
    expect((await access.distinctClients(keyspace, START)).get('p0')).toBe(2);
    expect(await access.latencies(keyspace, START, [0.5])).toMatchObject([{ requests: 12 }]);
    const span = { keyspace, from: START + HOUR + 500, to: START + 3 * HOUR };
    expect(await access.top.entities(span, 5)).toMatchObject([
      { token: 5n, requests: 7 },
      { token: 6n, requests: 1 },
    ]);
    // Nothing of the hours before.
    expect(await access.tokenLoads(keyspace, 'p0', START + 2 * HOUR)).toEqual([{ token: 5n, load: 4 }]);
  });

  it('are not, as long as their batch may still be taken away', async () => {
    const keyspace = 'shop.batch';
    const ingestions = db().collection<{ _id: string; uncounted: { batch: string }[] }>('ingestions');
    await ingestions.insertOne({ _id: 'log', uncounted: [{ batch: 'b0' }, { batch: 'b1' }] });
    await catalog.access.append([record(keyspace, START)], 'b0');
    await catalog.access.append([record(keyspace, START)], 'b1');
    await catalog.access.append([record(keyspace, START)], 'b2');
    expect(await rollUp()).toBe(1);
    await catalog.access.removeBatch('b0');
    await ingestions.updateOne({ _id: 'log' }, { $pull: { uncounted: { batch: 'b1' } } });
    expect(await rollUp()).toBe(1);
    expect(requestsIn(await windows(keyspace))).toBe(8);
  });

  it('lose their windows after a while, and are known by the hour then', async () => {
    const keyspace = 'shop.old';
    await catalog.access.append([record(keyspace, START), record(keyspace, START + HOUR + WINDOW)]);
    const once = { before: START + 50 * HOUR, keepWindowsMs: 0, keepHoursMs: 3_600_000 };
    await catalog.accessRollUp.run(once, never);
    await until('the windows are gone', async () => !(await windows(keyspace)).every(({ spread }) => !spread));
    const found = await windows(keyspace);
    expect(requestsIn(found)).toBeCloseTo(8, 6);
    expect(found.filter(({ start }) => start < START + HOUR)).toHaveLength(12);
    // One that comes late belongs to the hour, too.
    await catalog.access.append([record(keyspace, START)]);
    await rollUp();
    expect(requestsIn(await windows(keyspace))).toBeCloseTo(12, 6);
  });

  it('are taken over from a catalog that kept them as a time series', async () => {
    const old = clients[0]!.db('older');
    await old.createCollection('access', {
      timeseries: { timeField: 'time', metaField: 'meta', granularity: 'seconds' },
    });
    const { keyspace, partition, region, time, reads, writes, errors, latencyMs } = record('shop.older', START);
    const rest = { reads, writes, errors, latencyMs, clients: [], tokens: [] };
    await old.collection('access').insertOne({ time: new Date(time), meta: { keyspace, partition, region }, ...rest });
    await old.collection<{ _id: string }>('settings').insertOne({ _id: 'schema', ...{ version: 3 } });
    const opened = await Promise.all([0, 1].map(() => Catalog.open(uris[0]!, 'older', WINDOW)));
    await opened[0]!.accessRollUp.run({ before: START + HOUR, ...KEPT }, never);
    expect(requestsIn(await opened[1]!.access.windows('shop.older', START, START + HOUR, WINDOW))).toBe(4);
    await Promise.all(opened.map((each) => each.close()));
  });
});

it('one worker at a time takes its turn, by the clock of the catalog', async () => {
  const { settings } = catalog;
  const turns = await Promise.all([0, 1, 2].map(() => settings.takeTurn('rollUp', 300)));
  expect(turns.filter(Boolean)).toHaveLength(1);
  await settings.holdTurn('rollUp', 60_000);
  expect(await settings.takeTurn('rollUp', 300)).toBe(false);
  await settings.holdTurn('rollUp', 0);
  expect(await settings.takeTurn('rollUp', 60_000)).toBe(true);
});
