import { mkdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireBinary } from '../../temporal-config/binaries.js';
import { freePort } from '../../temporal-config/free-port.js';
import { FORECAST_SCHEDULE_ID } from '../../workflows/messages.js';
import type { RunningShell } from './harness.js';
import { shellWithCluster } from './harness.js';

/** Commands that look at the catalog and the nodes and change little: a cluster without a worker is enough. */
describe('looking at things', () => {
  let the: RunningShell;
  beforeAll(async () => {
    the = await shellWithCluster({ workers: 0 });
  });
  afterAll(() => the.stop());

  it('says what to do while there is nothing', async () => {
    expect((await the.drover('keyspace', 'list')).stdout).toContain('drover keyspace create');
    expect((await the.drover('migration', 'list')).stdout).toContain('Nothing has moved yet');
    expect((await the.drover('migration', 'list', '--json')).json()).toEqual({ migrations: [] });
    expect((await the.drover('decisions', '--json')).json()).toEqual({ decisions: [] });
  });

  it('makes a keyspace over all nodes, once', async () => {
    const create = ['keyspace', 'create', 'shop.orders', '--key', 'customerId', '--partitions', '6'];
    const outcome = await the.drover(...create, '--json');
    expect(outcome.exitCode).toBe(0);
    const made = outcome.json<{ name: string; partitions: { partition: string; tokens: { low: string } }[] }>();
    expect(made.name).toBe('shop.orders');
    expect(made.partitions.map(({ partition }) => partition)).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5']);
    // 64 bits, exactly.
    expect(made.partitions[0]!.tokens.low).toBe('-9223372036854775808');
    const again = await the.drover(...create);
    expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('already exists') as string });
  });

  it('shows keyspaces', async () => {
    const summary = { name: 'shop.orders', key: 'customerId', partitions: 6, moving: 0 };
    expect((await the.drover('keyspace', 'list', '--json')).json()).toMatchObject({ keyspaces: [summary] });
    const shown = (await the.drover('keyspace', 'show', 'shop.orders', '--json')).json<{
      nodes: { node: string; partitions: number; documents: number }[];
    }>();
    expect(shown).toMatchObject(summary);
    expect(shown.nodes.reduce((sum, node) => sum + node.partitions, 0)).toBe(6);
    expect((await the.drover('keyspace', 'list')).stdout).toMatch(/KEYSPACE +KEY +PARTITIONS/);
    expect((await the.drover('keyspace', 'show', 'shop.ordres')).exitCode).toBe(2);
  });

  it('shows partitions with size, load and state', async () => {
    const listed = (await the.drover('partition', 'list', 'shop.orders', '--json')).json<{ partitions: object[] }>();
    expect(listed.partitions).toHaveLength(6);
    const untouched = { target: null, weight: 0, epoch: 1, state: 'steady', documents: 0, bytes: 0, lastMovedAt: null };
    expect(listed.partitions[1]).toMatchObject({ keyspace: 'shop.orders', partition: 'p1', ...untouched });
    const shown = (await the.drover('partition', 'show', 'shop.orders', 'p1', '--json')).json();
    expect(shown).toMatchObject({ collection: 'orders.p1', regions: [], networks: [], migrations: [], ...untouched });
    expect((await the.drover('partition', 'show', 'shop.orders', 'p1')).stdout).toContain(
      'No requests in the last hour',
    );
  });

  it('adds up the requests of the last hour by region', async () => {
    const record = {
      keyspace: 'shop.orders',
      partition: 'p2',
      time: Date.now() - 60_000,
      errors: 0,
      latencyMs: { sum: 60, max: 9 },
      tokens: [],
    };
    await the.control.catalog.access.append([
      { ...record, region: 'eu-west', reads: 20, writes: 10, clients: [['10.1.0.0/16', 30]] },
      { ...record, region: 'us-east', reads: 2, writes: 1, clients: [] },
    ]);
    expect((await the.drover('partition', 'show', 'shop.orders', 'p2', '--json')).json()).toMatchObject({
      requestsLastHour: 33,
      regions: [
        { region: 'eu-west', reads: 20, writes: 10, latencyMsMean: 2, latencyMsMax: 9 },
        { region: 'us-east', reads: 2, writes: 1 },
      ],
      networks: [['10.1.0.0/16', 30]],
    });
  });

  it('lists nodes with their partitions, and never with a password', async () => {
    const { nodes } = (await the.drover('node', 'list', '--json')).json<{
      nodes: { name: string; partitions: number; address: string }[];
    }>();
    expect(nodes.map(({ name }) => name)).toEqual(['ap-1', 'eu-1', 'us-1']);
    expect(nodes.reduce((sum, node) => sum + node.partitions, 0)).toBe(6);
    for (const { address } of nodes) expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it('probes nodes, and fails when one does not answer', async () => {
    const probed = await the.drover('node', 'probe', 'us-1', '--json');
    expect(probed.exitCode).toBe(0);
    expect(probed.json()).toMatchObject({ nodes: [{ name: 'us-1', region: 'us-east', probe: { reachable: true } }] });
    expect((await the.drover('node', 'probe')).stdout).toMatch(/ap-1 +yes/);
    expect((await the.drover('node', 'probe', 'mars')).exitCode).toBe(2);
  });

  it('adds a node by its address in the environment, and takes no twin and none without an address', async () => {
    const changed = await the.drover('node', 'add', 'us-1', '--region', 'us-west', '--capacity-ops', '900', '--json');
    expect(changed.json()).toMatchObject({ name: 'us-1', region: 'us-west', capacity: { opsPerSecond: 900 } });
    const noAddress = await the.drover('node', 'add', 'af-1', '--region', 'af-south');
    expect(noAddress).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('DROVER_NODE_AF_1') as string });
    const other = await the.withEnv({ DROVER_NODE_US_2: the.cluster.env['DROVER_NODE_US_1']! });
    const twin = await other.drover('node', 'add', 'us-2', '--region', 'us-east', '--json');
    expect(twin).toMatchObject({ exitCode: 3 });
    expect(twin.json()).toMatchObject({ error: { code: 'Refused' } });
    expect((await other.drover('node', 'add', 'us-2')).stderr).toContain('--region');
  });

  it('takes no standalone server as a node: it has neither transactions nor change streams', async () => {
    const port = await freePort();
    const dbpath = join(the.folder, 'standalone');
    await mkdir(dbpath);
    const args = ['--dbpath', dbpath, '--port', String(port), '--bind_ip', '127.0.0.1', '--nounixsocket'];
    const standalone = execa(await requireBinary('mongod'), args, { reject: false, stdout: 'ignore' });
    try {
      const other = await the.withEnv({ DROVER_NODE_US_2: `mongodb://127.0.0.1:${port}/` });
      const refused = await other.drover('node', 'add', 'us-2', '--region', 'us-east');
      expect(refused).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('standalone') as string });
      expect((await the.control.catalog.nodes.list()).map(({ _id }) => _id)).not.toContain('us-2');
    } finally {
      standalone.kill('SIGKILL');
      await standalone;
    }
  });

  it('removes a node only when nothing needs it', async () => {
    const refused = await the.drover('node', 'remove', 'eu-1', '--json');
    expect(refused.exitCode).toBe(3);
    expect(refused.json()).toMatchObject({
      error: { code: 'Refused', message: expect.stringContaining('owns') as string },
    });
    await the.control.catalog.nodes.put({ _id: 'old-1', region: 'us-east', address: 'old:27017' }, new Date());
    expect((await the.drover('node', 'remove', 'old-1', '--json')).json()).toEqual({ removed: 'old-1' });
    expect((await the.drover('node', 'remove', 'old-1')).exitCode).toBe(2);
  });

  it('shows forecasts region by region', async () => {
    expect((await the.drover('forecast', 'show', 'shop.orders', 'p0')).stdout).toContain('no forecast');
    const madeAt = new Date('2013-01-05T07:00:00Z');
    await the.control.catalog.forecasts.insert(
      [
        {
          _id: 'f1',
          keyspace: 'shop.orders',
          partition: 'p0',
          region: 'eu-west',
          madeAt,
          windowMs: 300_000,
          model: 'ets',
          mean: [100, 120],
          lower: [80, 90],
          upper: [130, 150],
          level: 0.8,
          naive: [90, 95],
          decided: false,
        },
      ],
      3_600_000,
    );
    const shown = await the.drover('forecast', 'show', 'shop.orders', 'p0');
    expect(shown.stdout).toMatch(/eu-west, per 5m, for the 10m after 2013-01-05 07:00:00 UTC \(model ets\)/);
    expect(shown.stdout).toMatch(/07:05:00 UTC +120 +90 to 150 +95/);
    const drawing = join(tmpdir(), `forecast-${process.pid}.svg`);
    const options = ['--threshold', '110', '--svg', drawing, '--json'];
    expect((await the.drover('forecast', 'show', 'shop.orders', 'p0', ...options)).json()).toMatchObject({
      forecasts: [{ id: 'f1', region: 'eu-west', mean: [100, 120], history: [], crossing: { firstStep: 1 } }],
    });
    expect(await readFile(drawing, 'utf8')).toMatch(
      /^<svg [^]*Requests from eu-west, per 300 s[^]*<circle [^]*<\/svg>\n$/,
    );
    await rm(drawing);
  });

  it('shows decisions with their reasons, and answers only those that wait', async () => {
    const decision = {
      at: new Date(),
      keyspace: 'shop.orders',
      partition: 'p0',
      source: 'us-1',
      target: 'eu-1',
      mode: 'recommend',
      gain: 0.4,
      reasons: [{ code: 'load-moves', text: 'Most requests will come from eu-west.' }],
      rejected: [{ node: 'ap-1', code: 'farther', text: 'It is farther away.' }],
    };
    await the.control.catalog.decisions.insert([
      { _id: 'd1', ...decision, state: 'expired' },
      { _id: 'd2', ...decision, state: 'recommended' },
    ]);
    const listed = (await the.drover('decisions', '--state', 'expired', '--json')).json();
    expect(listed).toMatchObject({ decisions: [{ id: 'd1', state: 'expired' }] });
    const shown = (await the.drover('decision', 'show', 'd2')).stdout;
    for (const text of ['Most requests', 'farther away', 'drover decision approve d2']) expect(shown).toContain(text);
    for (const [id, why] of [
      ['d1', 'it is expired'],
      ['d2', 'does not wait for an answer any more'],
      ['d3', 'no decision "d3"'],
    ] as const) {
      const outcome = await the.drover('decision', 'approve', id, '--json');
      expect(outcome.exitCode).toBe(2);
      expect(outcome.json()).toMatchObject({ error: { message: expect.stringContaining(why) as string } });
    }
  });

  it('says that no worker answers, instead of waiting for ever', async () => {
    const outcome = await the.drover('plan', '--timeout', '1s', '--json');
    expect(outcome.exitCode).toBe(4);
    expect(outcome.json()).toMatchObject({ error: { code: 'TimedOut' } });
    expect(outcome.stderr).toContain('drover worker');
  });

  it('stops and starts automation with the schedule, but leaves a schedule alone that somebody else paused', async () => {
    const temporal = await the.control.temporal();
    const schedule = await temporal.schedule.create({
      scheduleId: FORECAST_SCHEDULE_ID,
      spec: { intervals: [{ every: '1d' }] },
      action: { type: 'startWorkflow', workflowType: 'forecastWorkflow', taskQueue: 'drover-control', args: [{}] },
    });
    const paused = async () => (await schedule.describe()).state.paused;
    expect((await the.drover('stop', '--json')).json()).toEqual({
      stopped: true,
      schedule: 'paused',
      migrations: [],
      unanswered: 0,
    });
    expect(await the.control.catalog.settings.automationStopped()).toBe(true);
    expect(await paused()).toBe(true);
    expect((await the.drover('start', '--json')).json()).toMatchObject({ stopped: false, schedule: 'running' });
    expect(await paused()).toBe(false);

    await schedule.pause('maintenance');
    await the.drover('stop');
    expect((await the.drover('start')).stdout).toContain('stays paused');
    expect(await paused()).toBe(true);
    expect(await the.control.catalog.settings.automationStopped()).toBe(false);
  });

  it('still lists partitions when a node is down, and says which', async () => {
    await the.cluster.nodes['ap-1']!.stop();
    const [listed, probed] = await Promise.all([
      the.drover('partition', 'list', 'shop.orders'),
      the.drover('node', 'probe', '--json'),
    ]);
    expect(listed.exitCode).toBe(0);
    expect(listed.stderr).toContain('"ap-1" can\'t be reached');
    expect(listed.stdout).toMatch(/p0/);
    expect(probed.exitCode).toBe(1);
    expect(probed.json()).toMatchObject({ error: { message: expect.stringContaining('ap-1') as string } });
  });
});
