import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ingestAccessLog } from '../../client/access-ingestion.js';
import type { IngestionRequest } from '../../client/access-ingestion.js';
import type { ControlContext } from '../../client/context.js';
import { policySchema } from '../../config/index.js';
import type { AccessRecord } from '../../domain/access.js';
import { totalBytes } from '../../domain/access-bytes.js';
import { equalIntervals } from '../../domain/hash-ring.js';
import { contains } from '../../domain/token.js';
import { Catalog } from '../../store/catalog/catalog.js';
import { tokenOfKey } from '../../store/key-token.js';
import { compiledFile } from '../../temporal-config/project-root.js';
import { until, useServers } from './servers.js';

const { clients, uris } = useServers(1, ['--setParameter', 'ttlMonitorSleepSecs=1']);
const START = Date.parse('2013-01-05T00:00:00Z');
const DAY_MS = 24 * 3_600_000;
const KEYSPACE = 'shop.orders';
let catalog: Catalog;
let context: ControlContext;
let folder: string;
let databases = 0;
let database: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-ingest-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  await catalog?.close();
  database = `drover${databases++}`;
  catalog = await Catalog.open(uris[0]!, database);
  const box = equalIntervals(4);
  await catalog.addKeyspace(
    {
      _id: KEYSPACE,
      database: 'shop',
      collection: 'orders',
      dimensions: [{ kind: 'hashed', field: 'customer' }],
      createdAt: new Date(),
    },
    box.map((interval, i) => ({
      id: `${KEYSPACE}/p${i}`,
      keyspace: KEYSPACE,
      name: `p${i}`,
      box: [interval],
      collection: `orders.p${i}`,
      epoch: 1,
      attempt: 0,
      gates: [],
      route: { source: 'a', target: null, boundary: interval.low, fence: null },
      handover: null,
      lastMovedAt: null,
    })),
  );
  context = { catalog, now: Date.now, configuration: { policy: policySchema.parse({}) } } as unknown as ControlContext;
});
afterAll(() => catalog.close());

const line = (i: number): string =>
  JSON.stringify({
    time: new Date(START + i * 1_000).toISOString(),
    customer: `c${i % 50}`,
    region: i % 3 === 0 ? 'eu' : 'us',
    client: `10.0.${i % 7}.${i % 200}`,
    operation: i % 4 === 0 ? 'update' : 'find',
    status: i % 100 === 0 ? 503 : 200,
    latency: 1 + (i % 10),
    bytes: 100 + (i % 4),
  });
const linesFrom = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => `${line(from + i)}\n`).join('');
const file = async (name: string, content: string | Buffer): Promise<string> => {
  const path = join(folder, `${database}-${name}`);
  await writeFile(path, content);
  return path;
};
const ingest = (path: string, request: Partial<IngestionRequest> = {}) =>
  ingestAccessLog(context, { file: path, format: 'jsonl', keyspace: KEYSPACE, ...request });
const counted = async (): Promise<number> => {
  const windows = await catalog.access.windows(KEYSPACE, START - 20 * DAY_MS, START + 20 * DAY_MS, 3_600_000);
  return windows.reduce((sum, { reads, writes }) => sum + reads + writes, 0);
};

describe('a log from elsewhere', () => {
  it('becomes access records, which last although they are old', async () => {
    const result = await ingest(await file('a.jsonl', linesFrom(0, 4_000)));
    expect(result).toMatchObject({ lines: 4_000, linesBefore: 0, accesses: 4_000, bad: 0 });
    expect(result.from).toEqual(new Date(START));
    const windows = await catalog.access.windows(KEYSPACE, START, START + DAY_MS, DAY_MS);
    const sum = (of: (window: (typeof windows)[number]) => number) => windows.reduce((all, each) => all + of(each), 0);
    expect(new Set(windows.map(({ partition }) => partition))).toEqual(new Set(['p0', 'p1', 'p2', 'p3']));
    expect(sum(({ writes }) => writes)).toBe(1_000);
    expect(sum(({ errors }) => errors)).toBe(40);
    expect(sum(({ latencyMsSum }) => latencyMsSum)).toBe(4_000 * 5.5);
    expect(totalBytes(windows).bytes).toEqual({ read: 3_000 * 102, written: 1_000 * 100, requests: 4_000 });
    expect(sum(({ region, reads, writes }) => (region === 'eu' ? reads + writes : 0))).toBe(1_334);
    const networks = [...(await catalog.access.clients(KEYSPACE, START)).values()].flat();
    expect(networks.reduce((all, [, requests]) => all + requests, 0)).toBe(4_000);
    const token = tokenOfKey('c7');
    const name = (await catalog.partitions.list(KEYSPACE)).find(({ box }) => contains(box[0], token))!.name;
    expect(await catalog.access.tokenLoads(KEYSPACE, name, START)).toContainEqual({ token, load: 80 });
    // The server looks every second for what is too old.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await counted()).toBe(4_000);
  });

  it('is counted once: given twice, grown, cut short, compressed, or cut off in the middle of a line', async () => {
    const path = await file('b.jsonl', linesFrom(0, 3_000));
    await ingest(path);
    expect(await ingest(path)).toMatchObject({ linesRead: 0, linesBefore: 3_000, accesses: 3_000 });
    expect(await ingest(await file('copy.gz', gzipSync(linesFrom(0, 3_000))))).toMatchObject({ linesRead: 0 });
    expect(await ingest(await file('short', linesFrom(0, 700)))).toMatchObject({ linesRead: 0 });
    await appendFile(path, `${linesFrom(3_000, 3_500)}${line(3_500).slice(0, 20)}`);
    expect(await ingest(path)).toMatchObject({ linesRead: 501, accesses: 3_500, bad: 1 });
    await appendFile(path, `${line(3_500).slice(20)}\n${linesFrom(3_501, 3_600)}`);
    // The line that was cut off was counted as it was: as a bad one.
    expect(await ingest(path)).toMatchObject({ accesses: 3_599, lines: 3_600 });
    expect(await counted()).toBe(3_599);
    // Another log may begin in the same way.
    const other = await file('other.jsonl', linesFrom(0, 1_500) + linesFrom(2_000, 3_000));
    expect(await ingest(other)).toMatchObject({ linesBefore: 0, accesses: 2_500 });
  });

  it('has its bad lines counted and located, and the rest counted', async () => {
    const text =
      linesFrom(0, 10) + 'nonsense\n' + '{"customer":"c1","region":"eu"}\n' + linesFrom(10, 20) + '{"time":1}\n';
    const result = await ingest(await file('bad.jsonl', text), { badLinesShown: 2 });
    expect(result).toMatchObject({ lines: 23, accesses: 20, bad: 3 });
    expect(result.badLines).toEqual([
      { line: 11, reason: 'it is not JSON' },
      { line: 12, reason: 'it has no time' },
    ]);
  });

  it('has what its bad lines say told, and kept nowhere', async () => {
    const text = linesFrom(0, 10) + '{"time":"c17@example.com"}\n' + line(10).replace('"find"', '"c18"');
    const path = await file('private.jsonl', text);
    const told = [
      'its time can not be read: "c17@example.com"',
      'its operation is known neither as a read nor as a write: "c18"',
    ];
    expect((await ingest(path)).badLines.map(({ reason }) => reason)).toEqual(told);
    expect(JSON.stringify(await catalog.ingestions.list(KEYSPACE))).not.toMatch(/c1[78]/);
    const [again] = (await ingest(path)).badLines;
    expect(again).toEqual({ line: 11, reason: 'its time can not be read' });
  });

  it('is found by an index, however many there are', async () => {
    const ingestions = clients[0]!.db(database).collection('ingestions');
    const find = ingestions.find({ keyspace: KEYSPACE, $or: [{ position: { $lt: 16 } }, { 'marks.0.hash': 'x' }] });
    expect(JSON.stringify(await find.explain('queryPlanner'))).not.toContain('COLLSCAN');
    const waiting = ingestions.find({ keyspace: KEYSPACE, 'uncounted.0': { $exists: true } });
    expect(JSON.stringify(await waiting.explain('queryPlanner'))).not.toContain('COLLSCAN');
  });

  it('may be CSV with its own columns, or of a web server', async () => {
    const rows = Array.from({ length: 500 }, (_, i) => `${START / 1000 + i};"c;${i % 5}";eu;20\n`).join('');
    const path = await file('c.csv', `ts;who;where;sent\n${rows}`);
    const map = { time: 'ts', key: 'who', region: 'where', bytes: 'sent' };
    expect(await ingest(path, { format: 'csv', delimiter: ';', map })).toMatchObject({ accesses: 500, bad: 0 });
    await appendFile(path, `${START / 1000};c1;eu;\n`);
    expect(await ingest(path, { format: 'csv', delimiter: ';', map })).toMatchObject({ linesRead: 1, accesses: 501 });
    const windows = () => catalog.access.windows(KEYSPACE, START, START + DAY_MS, DAY_MS);
    expect(totalBytes(await windows()).bytes).toEqual({ read: 10_000, written: 0, requests: 500 });
    const clf = (path: string, method = 'POST') =>
      `10.0.0.1 - - [05/Jan/2013:01:00:00 +0000] "${method} ${path} HTTP/1.1" 200 5\n`;
    const log = await file('access.log', clf('/customers/7').repeat(29) + clf('/customers/7', 'GET') + clf('/health'));
    const options = {
      map: { key: 'path' },
      keyPattern: '^/customers/(\\d+)',
      keyType: 'number',
      region: 'eu',
    } as const;
    expect(await ingest(log, { format: 'clf', ...options })).toMatchObject({ accesses: 30, skipped: 1, bad: 0 });
    const loads = await Promise.all(
      ['p0', 'p1', 'p2', 'p3'].map((name) => catalog.access.tokenLoads(KEYSPACE, name, START + 3_600_000)),
    );
    expect(loads.flat()).toEqual([{ token: tokenOfKey(7), load: 30 }]);
    // What was answered says nothing of what was written.
    expect(totalBytes(await windows()).bytes).toEqual({ read: 10_005, written: 0, requests: 501 });
  });

  it('of which no line could be counted is read anew, with other options', async () => {
    const path = await file('w.csv', `when,customer,region\n${`2013-01-05T00:00:00Z,c1,eu\n`.repeat(30)}`);
    const wrong = { format: 'csv', map: { time: 'region' } } as const;
    expect(await ingest(path, wrong)).toMatchObject({ accesses: 0, bad: 30 });
    expect(await ingest(path, wrong)).toMatchObject({ linesRead: 31, bad: 30 });
    const right = { format: 'csv', map: { time: 'when' } } as const;
    expect(await ingest(path, right)).toMatchObject({ linesBefore: 0, accesses: 30, bad: 0, badLines: [] });
    expect(await ingest(path, right)).toMatchObject({ linesRead: 0, accesses: 30 });
    await expect(ingest(path, wrong)).rejects.toMatchObject({ code: 'InvalidRequest' });
    // Nor does a header alone decide how files that have the same one are read.
    const header = 'time,customer,client\n';
    await ingest(await file('header.csv', header), { format: 'csv', region: 'eu' });
    const later = await file('later.csv', `${header}2013-01-05T00:00:00Z,c1,10.0.0.1\n`);
    expect(await ingest(later, { format: 'csv', region: 'us' })).toMatchObject({ accesses: 1, bad: 0 });
    expect(await counted()).toBe(31);
  });

  it.each<[string, Partial<IngestionRequest>, RegExp]>([
    ['an unknown keyspace', { keyspace: 'shop.carts' }, /no keyspace "shop.carts"/],
    ['a file that is not there', { file: '/nowhere.jsonl' }, /no such file/],
    ['a column that is not there', { format: 'csv', map: { time: 'when' } }, /no column "when" for time/],
    ['a field of another format', { format: 'clf', region: 'eu', map: { key: 'customer' } }, /no column "customer"/],
    ['no key', { format: 'clf', region: 'eu' }, /--map key=/],
    ['no region', { format: 'clf', map: { key: 'user' } }, /--region/],
    ['a pattern without a group', { keyPattern: 'c.*' }, /one group/],
  ])('is refused with %s, and nothing is touched', async (_what, request, sentence) => {
    await expect(ingest(await file('x', 'a,b\n'), request)).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(sentence) as string,
    });
    expect(await catalog.ingestions.list(KEYSPACE)).toEqual([]);
  });
});

describe('the ingestion of a log', () => {
  /** The command as it is typed; what it reads is written to it by the test. */
  const command = () => {
    const env = { ...process.env, DROVER_CATALOG_URI: uris[0]!, DROVER_CATALOG_DATABASE: database };
    const args = ['access', 'ingest', '-', '--keyspace', KEYSPACE, '--format', 'jsonl', '--json'];
    const started = execFile(process.execPath, [compiledFile('client/main.js'), ...args], { env, cwd: folder });
    let output = '';
    started.stdout!.on('data', (text: string) => (output += text));
    started.stderr!.on('data', (text: string) => (output += text));
    started.stdin!.on('error', () => undefined);
    const ended = new Promise<{ code: number | null; output: string }>((resolve) =>
      started.on('close', (code) => resolve({ code, output })),
    );
    return { started, ended };
  };
  // So far apart that every line is a record of its own: batches end soon.
  const sparse = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => from + i)
      .map((i) => `{"time":${(START + i * 300_000) / 1000},"customer":"c${i % 50}","region":"eu"}\n`)
      .join('');
  const days = async () => {
    const windows = await catalog.access.windows(KEYSPACE, START, START + 60 * DAY_MS, DAY_MS);
    return windows.reduce((sum, { reads }) => sum + reads, 0);
  };

  it.each(['SIGKILL', 'SIGINT'] as const)(
    'that is ended by %s goes on where it was, and counts nothing twice',
    async (signal) => {
      const { started, ended } = command();
      started.stdin!.write(sparse(0, 9_000));
      await until(
        'the first batch',
        async () => ((await catalog.ingestions.list(KEYSPACE))[0]?.accesses ?? 0) > 0,
        60_000,
      );
      started.stdin!.write(sparse(9_000, 9_500));
      started.kill(signal);
      const { output } = await ended;
      if (signal === 'SIGINT') expect(output).toContain('goes on from there');
      const [half] = await catalog.ingestions.list(KEYSPACE);
      const result = await ingest(await file('whole', sparse(0, 12_000)));
      expect(result).toMatchObject({ linesBefore: half!.lines, lines: 12_000, accesses: 12_000 });
      expect(await days()).toBe(12_000);
    },
  );

  it('that died while it stored a batch has that batch counted once', async () => {
    const path = await file('d', sparse(0, 9_000));
    const append = catalog.access.append.bind(catalog.access);
    const stored: (readonly AccessRecord[])[] = [];
    catalog.access.append = async (records, batch) => {
      if (stored.push(records) < 2) return append(records, batch);
      await append(records.slice(0, records.length / 2), batch);
      throw new Error('the process is gone');
    };
    await expect(ingest(path)).rejects.toThrow('gone');
    catalog.access.append = append;
    const [half] = await catalog.ingestions.list(KEYSPACE);
    expect(half!.uncounted).toHaveLength(3);
    expect(await days()).toBeGreaterThan(4_096);
    await ingest(path);
    expect(await days()).toBe(9_000);
    expect((await catalog.ingestions.list(KEYSPACE))[0]).toMatchObject({ accesses: 9_000 });
    // What of it comes late is removed by any later run, for a day.
    await append(stored[1]!.slice(0, 10), half!.uncounted[0]!.batch);
    expect(await days()).toBeGreaterThan(9_000);
    await ingest(await file('other', sparse(20_000, 20_001)));
    expect(await days()).toBe(9_000);
    const ingestions = clients[0]!.db(database).collection('ingestions');
    await ingestions.updateMany({}, { $set: { 'uncounted.$[].at': new Date(0) } });
    await ingest(path);
    expect((await catalog.ingestions.list(KEYSPACE)).flatMap(({ uncounted }) => uncounted)).toEqual([]);
  });

  it('that is asleep while another process takes it over takes back what it has stored since', async () => {
    const path = await file('f', sparse(0, 9_000));
    const sleeper = await Catalog.open(uris[0]!, database);
    const append = sleeper.access.append.bind(sleeper.access);
    let wake = () => undefined as void;
    const woken = new Promise<void>((resolve) => (wake = resolve));
    const asleep = new Promise<void>((resolve) => {
      sleeper.access.append = async (records, batch) => {
        // The first of two inserts.
        await append(records.slice(0, 1_000), batch);
        resolve();
        await woken;
        await append(records.slice(1_000), batch);
      };
    });
    sleeper.ingestions.renew = () => Promise.resolve(true);
    const sleeping = ingestAccessLog(
      { ...context, catalog: sleeper },
      { file: path, format: 'jsonl', keyspace: KEYSPACE },
    );
    await asleep;
    await clients[0]!
      .db(database)
      .collection('ingestions')
      .updateOne({}, { $set: { 'lease.until': new Date(0) } });
    expect(await ingest(path)).toMatchObject({ accesses: 9_000 });
    wake();
    await expect(sleeping).rejects.toMatchObject({ code: 'Superseded' });
    await sleeper.close();
    expect(await days()).toBe(9_000);
  });

  it('has entities that were used together counted once: cut off in the middle of a batch, tried again, given again', async () => {
    // Each user asks for two customers, half a minute apart.
    const users = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => from + i)
        .flatMap((i) => [0, 1].map((n) => [START + i * 300_000 + n * 30_000, `c${2 * (i % 10) + n}`, i % 200] as const))
        .map(([time, customer, n]) => JSON.stringify({ time, customer, region: 'eu', client: `10.0.0.${n}` }))
        .join('\n');
    const span = { keyspace: KEYSPACE, from: START, to: START + 60 * DAY_MS };
    const sessions = async () =>
      (await catalog.entityPairs.top(span, 100)).pairs.map(({ sessions: each, jaccard }) => [each, jaccard]);
    const path = await file('users', `${users(0, 6_000)}\n`);
    const put = catalog.entityPairs.put.bind(catalog.entityPairs);
    catalog.entityPairs.put = async (use, by) => {
      await put(use.slice(0, use.length / 2), by);
      throw new Error('the process is gone');
    };
    await expect(ingest(path)).rejects.toThrow('gone');
    catalog.entityPairs.put = put;
    const stored = clients[0]!.db(database).collection('entityPairs');
    for (const filter of [{ '_id.by': 'x' }, { '_id.keyspace': KEYSPACE, '_id.hour': { $gt: new Date(START) } }]) {
      expect(JSON.stringify(await stored.find(filter).explain('queryPlanner'))).not.toContain('COLLSCAN');
    }
    // What has been stored of the batch does not count.
    expect(await stored.countDocuments()).toBeGreaterThan(0);
    expect(await sessions()).toEqual([]);
    await ingest(path);
    const all = Array.from({ length: 10 }, () => [600, 1]);
    expect(await sessions()).toEqual(all);
    await ingest(path);
    await appendFile(path, `${users(6_000, 6_010)}\n`);
    await ingest(path);
    expect(await sessions()).toEqual(all.map(([each, jaccard]) => [each! + 1, jaccard]));
  });

  it('stores what it tries once more under another name: the first try may end after the second', async () => {
    const path = await file('g', sparse(0, 100));
    const append = catalog.access.append.bind(catalog.access);
    const tries: [readonly AccessRecord[], string | undefined][] = [];
    catalog.access.append = async (records, batch) => {
      if (tries.push([records, batch]) > 1) return append(records, batch);
      throw new Error('the connection broke');
    };
    await ingest(path);
    catalog.access.append = append;
    await append(...tries[0]!);
    expect(await days()).toBe(200);
    await ingest(path);
    expect(await days()).toBe(100);
  });

  it('is done by one process at a time', async () => {
    const path = await file('e', sparse(0, 9_000));
    const waits: string[] = [];
    const both = await Promise.allSettled(
      [0, 1].map(() => ingest(path, { onWait: (sentence) => waits.push(sentence) })),
    );
    expect(both.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
    await ingest(path);
    expect(await days()).toBe(9_000);
  });
});
