import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessTopReport } from '../../client/access-top.js';
import type { NodeDetails } from '../../client/node-details.js';
import type { PartitionDetails } from '../../client/partitions.js';
import type { ShownSeries } from '../../client/shown-forecast.js';
import type { ControlContext } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { tokenOfKey } from '../../store/key-token.js';
import { useServers } from '../store/servers.js';
import type { ShellInUse } from './harness.js';
import { shellWithNodes } from './harness.js';

const { uris } = useServers(1);
const KEYSPACE = 'shop.orders';
let control: ControlContext;
let the: ShellInUse;
/** Of customer c1; almost all of its requests come from the other region. */
let partition: string;

beforeAll(async () => {
  const config = `catalog: '${uris[0]}'
nodes: [{ name: eu-1, region: eu, uri: '${uris[0]}' }]
policy: { score: { perType: { archive: { frequency: 0 } }, types: { ${KEYSPACE}/p0: archive } } }
`;
  the = await shellWithNodes(config, uris);
  ({ control } = the);
  const partitions = await createKeyspace(control, { name: KEYSPACE, key: 'customer', partitions: 2 });
  const node = await MongoClient.connect(uris[0]!);
  for (const { collection, name } of partitions) {
    for (const customer of ['c1', 'c2', 'c3', 'c4']) {
      const inserted = await node
        .db('shop')
        .collection(collection)
        .insertOne({ customer })
        .catch(() => undefined);
      if (customer === 'c1' && inserted !== undefined) partition = name;
    }
  }
  await node.close();
});
afterAll(async () => {
  await the.stop();
});

describe('the command line', () => {
  it('ingests a log with its bad lines told, and says what is used most, and how', async () => {
    const now = Date.now() - 1_000;
    const lines = Array.from({ length: 600 }, (_, i) =>
      JSON.stringify({
        ts: now - i * 5_000,
        customer: i % 3 === 0 ? `c${2 + (i % 9) / 3}` : 'c1',
        region: i % 10 === 0 ? 'eu' : 'us',
        // Of one network, in the same minutes.
        client: `10.0.0.${i % 250}`,
        ...(i % 5 === 0 ? { operation: 'update' } : { operation: 'find', size: 2_000 }),
      }),
    );
    await writeFile(join(the.folder, 'log'), `${lines.join('\n')}\noops\n`);
    const args = [
      'access',
      'ingest',
      'log',
      '--keyspace',
      KEYSPACE,
      '--format',
      'jsonl',
      '--map',
      'time=ts,bytes=size',
    ];
    const { exitCode, stdout } = await the.drover(...args);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /Read 601 lines .*\n.*600 accesses.*\n1 bad line of 601, not counted:\n {2}line 601: it is not JSON/,
    );
    const again = await the.drover(...args, '--json');
    expect(again.json()).toMatchObject({ ingestion: { linesRead: 0, accesses: 600, bad: 1 } });

    const top = (await the.drover('access', 'top', '--json')).json<AccessTopReport>();
    expect(top).toMatchObject({ keyspace: KEYSPACE, requests: 600 });
    expect(top.partitions[0]).toMatchObject({ partition, owner: 'eu-1', clientAffinity: 1 });
    expect(top.entities[0]).toMatchObject({ key: 'c1', partition, requests: 400 });
    expect(top.entities[0]!.mobilityScore).toBeCloseTo(0.9);
    expect(top.regions.map(({ region, share }) => [region, share])).toEqual([
      ['us', 0.9],
      ['eu', 0.1],
    ]);
    expect(top.networks).toEqual([{ network: '10.0.0.0/24', requests: 600, share: 1 }]);
    const people = await the.drover('access', 'top', '--keyspace', KEYSPACE, '--since', '2h');
    // Of the updates it is not known.
    expect(top.regions.map(({ traffic }) => traffic)).toEqual([
      { bytesRead: 960_000, bytesWritten: 0, requests: 480 },
      null,
    ]);
    expect(people.stdout).toMatch(
      /REGION +REQUESTS +SHARE +BYTES READ +BYTES WRITTEN\nus .* 960 kB\+ +0 B\+\neu .* - +-/,
    );
    // Each client asks for one of them only.
    expect(top.entitiesTogether).toEqual([]);
    expect(people.stdout).toMatch(/ENTITY +PARTITION +REQUESTS[^]*c1 +p\d +400[^]*CLIENT NETWORK/);
  });

  it('shows the scores of a partition, by the weights of its type', async () => {
    const shown = async (name: string) =>
      (await the.drover('partition', 'show', KEYSPACE, name, '--json')).json<PartitionDetails>().scores;
    const [p0, p1] = [await shown('p0'), await shown('p1')];
    expect(p0.ownershipScore).toBeCloseTo(0.5 * p0.clientAffinity! - 0.25 * p0.modificationRate!);
    expect(p1.ownershipScore).toBeCloseTo(p1.accessFrequency! + 0.5 * p1.clientAffinity! - 0.25 * p1.modificationRate!);
    for (const { band, heat, mobilityScore } of [p0, p1]) {
      expect(['High', 'Medium', 'Low']).toContain(band);
      expect(heat).toBeGreaterThan(0);
      expect(mobilityScore).toBeNull();
    }
    const people = (await the.drover('partition', 'show', KEYSPACE, 'p0')).stdout;
    expect(people).toMatch(/ownership score +0\.\d\d \((Low|Medium)\)/);
    expect(people).toMatch(/LONGEST +BYTES READ\/H +BYTES WRITTEN\/H\nus .* [\d.]+ kB\+ +0 B\+/);
  });

  it('shows by how much partitions, nodes and busy entities grow, and when the disk is full', async () => {
    const hour = 3_600_000;
    const now = Date.now();
    const other = partition === 'p0' ? 'p1' : 'p0';
    const sizes = Array.from({ length: 6 }, (_, i) => {
      const common = { time: now - (6 - i) * hour, node: 'eu-1' };
      const grows = { documents: 1_000 + 100 * i, bytes: 1_000_000 + 100_000 * i, bytesOnDisk: 900_000 };
      const stays = { documents: 500, bytes: 300_000, bytesOnDisk: 300_000, estimated: true as const };
      const entities = [[tokenOfKey('c1'), 300 + 50 * i, 200_000 + i] as const];
      return [
        { keyspace: KEYSPACE, partition, reading: { ...common, ...grows, entities } },
        { keyspace: KEYSPACE, partition: other, reading: { ...common, ...stays } },
      ];
    });
    await control.catalog.partitionSizes.record(sizes.flat(), hour);
    await the.drover('node', 'probe');

    const { sizeGrowth } = (
      await the.drover('partition', 'show', KEYSPACE, partition, '--json')
    ).json<PartitionDetails>();
    expect(sizeGrowth!.documentsPerDay).toBeCloseTo(2_400);
    expect(sizeGrowth!.bytesPerDay).toBeCloseTo(2_400_000);
    expect(sizeGrowth!.sharePerDay).toBeCloseTo(2_400_000 / 1_250_000);
    expect((await the.drover('partition', 'show', KEYSPACE, partition)).stdout).toMatch(
      /growth +2,400 documents a day \(2\.4 MB, 192 %\)/,
    );

    const { growth, probe } = (await the.drover('node', 'show', 'eu-1', '--json')).json<NodeDetails>();
    expect(growth).toMatchObject({ known: 2, unknown: 0, partitions: [{ keyspace: KEYSPACE, partition }] });
    expect(growth.bytesPerDay).toBeCloseTo(2_400_000);
    // Of 1.8 MB of data that take 1.2 MB.
    expect(growth.diskBytesPerDay).toBeCloseTo(1_600_000);
    expect(growth.daysUntilDiskFull).toBeCloseTo((probe!.diskFreeGb! * 1e9) / 1_600_000);
    expect((await the.drover('node', 'show', 'eu-1')).stdout).toMatch(
      /growth +2\.4 MB a day, 1\.6 MB on disk\ndisk full +in [\d,]+ days[^]*GROWS +SIZE\/D[^]*p\d +2\.4 MB +2,400 +192 %/,
    );

    const top = (await the.drover('access', 'top', '--json')).json<AccessTopReport>();
    expect(top.partitions[0]).toMatchObject({ partition, sizeGrowth });
    const [c1, ...others] = top.entities;
    expect(c1).toMatchObject({ key: 'c1', size: { documents: 550, bytes: 200_005, share: 550 / 1_500 } });
    expect(c1!.size!.documentsPerDay).toBeCloseTo(1_200);
    for (const { size } of others) expect(size).toBeNull();
    const people = (await the.drover('access', 'top')).stdout;
    // Of the other one it is an estimate.
    expect(people).toMatch(/ ~0 B /);
    expect(people).toMatch(
      /SIZE\/D[^]*2\.4 MB[^]*OF PARTITION +DOCUMENTS\/D[^]*c1 +p\d +400 .* 550 +~200 kB +37 % +1,200/,
    );
  });

  it('forecasts what a node does, of its probes, and says when it is too much', async () => {
    const step = 300_000;
    const now = Math.floor(Date.now() / step) * step;
    const few = await the.drover('forecast', 'show', '--node', 'eu-1');
    expect(few.stdout).toMatch(/Operations per second of node eu-1: too little is known, 0 windows of 5m where 576/);
    // Three days, busier and busier in the day; the server has been started again once.
    let operations = 0;
    for (let time = now - 3 * 86_400_000, uptimeMs = step; time < now; time += step, uptimeMs += step) {
      if (time === now - 86_400_000) [operations, uptimeMs] = [0, step];
      const rate = 100 + 80 * Math.sin((2 * Math.PI * (time - now)) / 86_400_000);
      operations += (rate * step) / 1_000;
      const reading = { time, host: 'a', uptimeMs, operations, cpuMs: uptimeMs / 2, connections: 7 };
      await control.catalog.nodeReadings.record('eu-1', reading, { windowMs: step, keepMs: 3_600_000 });
    }
    const shown = ['forecast', 'show', '--node', 'eu-1', '--threshold', '110'];
    const [made] = (await the.drover(...shown, '--json')).json<{ forecasts: (ShownSeries & { kind: string })[] }>()
      .forecasts;
    expect(made).toMatchObject({ kind: 'forecast', title: 'Operations per second of node eu-1', threshold: 110 });
    made!.mean.forEach((value, i) =>
      expect(value).toBeCloseTo(100 + 80 * Math.sin((2 * Math.PI * (i * step)) / 86_400_000), -1),
    );
    expect(made!.crossing!.firstStep).toBeGreaterThan(2);
    expect(made!.crossing!.largestProbability).toBeGreaterThan(0.9);
    const people = await the.drover(...shown);
    expect(people.stdout).toMatch(/More than 110 from .* on, with a probability of at most/);
    const cpu = await the.drover('forecast', 'show', '--node', 'eu-1', '--measure', 'cpu');
    expect(cpu.stdout).toMatch(/Busy processor cores of node eu-1[^]* 0\.50/);
  });

  it('forecasts a busy entity, hour by hour', async () => {
    const hour = 3_600_000;
    const now = Math.floor(Date.now() / hour) * hour;
    const token = tokenOfKey('c1');
    // Of every day twelve hours, of which six are still to come: at whatever hour this runs.
    const byDay = (hours: number) => (hours + 6 + 24 * 7) % 24 < 12;
    const common = { keyspace: KEYSPACE, partition, region: 'us', writes: 0, errors: 0, clients: [] };
    const latencyMs = { sum: 0, max: 0 };
    await control.catalog.access.append(
      Array.from({ length: 96 }, (_, i) => i + 1).map((ago) => {
        const requests = byDay(-ago) ? 500 : 100;
        const tokens = [[token, requests] as const];
        return { ...common, latencyMs, tokens, time: now - ago * hour, reads: requests + 20 };
      }),
    );
    // Most of them as they are after some hours.
    const keep = { keepWindowsMs: hour, keepHoursMs: hour };
    await control.catalog.accessRollUp.run({ before: now - 2 * hour, ...keep }, new AbortController().signal);
    const shown = await the.drover('forecast', 'show', KEYSPACE, '--entity', 'c1', '--threshold', '300', '--json');
    const [made] = shown.json<{ forecasts: (ShownSeries & { kind: string })[] }>().forecasts;
    expect(made).toMatchObject({ kind: 'forecast', title: `Requests for c1 (${KEYSPACE}, ${partition})` });
    expect(made!.mean).toHaveLength(12);
    // By day it is above, by night it is not.
    const expected = made!.mean.map((_, i) => (byDay(i) ? 500 : 100));
    made!.mean.slice(1).forEach((value, i) => expect(Math.abs(value - expected[i + 1]!)).toBeLessThan(150));
    expect(made!.crossing!.largestProbability).toBeGreaterThan(0.9);
    const unknown = await the.drover('forecast', 'show', KEYSPACE, '--entity', 'nobody');
    expect(unknown.exitCode).toBe(0);
  });

  it('says which entities are used together, by whoever asks for them within a minute', async () => {
    // So long ago that nothing else is.
    const from = Date.parse('2020-03-01T10:00:00Z');
    const lines = Array.from({ length: 40 }, (_, i) => {
      const [one, other] = i % 4 === 0 ? ['c3', 'c4'] : ['c1', i % 4 === 1 ? 'c3' : 'c2'];
      const time = from + i * 60_000;
      const common = { region: 'us', client: `192.0.2.${i % 8}` };
      return `${JSON.stringify({ time, customer: one, ...common })}\n${JSON.stringify({ time: time + 20_000, customer: other, ...common })}\n`;
    });
    await writeFile(join(the.folder, 'users'), lines.join(''));
    const ingested = await the.drover('access', 'ingest', 'users', '--keyspace', KEYSPACE, '--format', 'jsonl');
    expect(ingested.exitCode).toBe(0);
    const args = ['access', 'top', '--from', '2020-03-01T10:00:00Z', '--to', '2020-03-01T11:00:00Z'];
    const top = (await the.drover(...args, '--json')).json<AccessTopReport>();
    const other = partition === 'p0' ? 'p1' : 'p0';
    const [first] = top.entitiesTogether;
    const named = [first!.a, first!.b].sort((x, y) => String(x.key).localeCompare(String(y.key)));
    expect(named).toMatchObject([{ key: 'c1', token: String(tokenOfKey('c1')), partition }, { key: 'c2' }]);
    expect([partition, other]).toContain(named[1]!.partition);
    expect(first!.sessions).toBe(20);
    expect(first!.jaccard).toBeCloseTo(20 / 30);
    expect(first!.lift).toBeCloseTo((20 * 40) / (30 * 20));
    expect(top.entitiesTogether).toHaveLength(3);
    const people = (await the.drover(...args)).stdout;
    expect(people).toMatch(
      /ENTITIES USED TOGETHER +PARTITIONS +SESSIONS +OF BOTH +TIMES CHANCE\n(c1, c2|c2, c1) .* 20 +67 % +1\.3/,
    );
  });

  it.each([
    [['forecast', 'show'], /say a keyspace and a partition/],
    [['forecast', 'show', '--node', 'us-9'], /no node "us-9"/],
    [['forecast', 'show', KEYSPACE, '--node', 'eu-1'], /leave them out/],
    [['forecast', 'show', KEYSPACE, '--entity', 'x', '--key-type', 'number'], /not a number/],
    [['access', 'ingest', 'log', '--keyspace', KEYSPACE, '--format', 'xml'], /Allowed choices are jsonl, csv, clf/],
    [['access', 'ingest', 'log', '--keyspace', KEYSPACE, '--format', 'csv', '--map', 'who=x'], /FIELD=COLUMN/],
    [['access', 'ingest', 'log', '--format', 'csv'], /required option '--keyspace/],
    [['access', 'ingest', 'gone', '--keyspace', KEYSPACE, '--format', 'jsonl'], /gone: there is no such file/],
    [['access', 'top', '--from', 'yesterday'], /2026-01-31T12:00:00Z/],
    [['access', 'top', '--keyspace', 'shop.nothing'], /no keyspace "shop.nothing"/],
  ])('takes %j for wrong use', async (args, sentence) => {
    const { exitCode, stderr } = await the.drover(...args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(sentence);
  });
});
