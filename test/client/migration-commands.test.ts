import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrationStatus } from '../../client/migration-status.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { DroverClient } from '../../router/index.js';
import { FORECAST_SCHEDULE_ID, migrationWorkflowId } from '../../workflows/messages.js';
import type { RunningShell } from './harness.js';
import { shellWithCluster } from './harness.js';
import { until } from '../e2e/harness.js';

const KEYSPACE = 'shop.orders';

/** A person moves partitions by hand, with nothing but the command line. */
describe('moving by command', () => {
  let the: RunningShell;

  beforeAll(async () => {
    the = await shellWithCluster({
      workers: 1,
      configuration: { policy: { migration: { dwell: '50ms', soak: '100ms', concurrency: 4, perNode: 4 } } },
    });
    await createKeyspace(the.control, { name: KEYSPACE, key: 'customerId', partitions: 4 });
    const client = await DroverClient.connect(the.control.configuration.catalog, {
      region: 'us-east',
      nodes: the.control.configuration.nodeUris,
    });
    const orders = client.db('shop').collection('orders');
    await orders.insertMany(Array.from({ length: 800 }, (_, i) => ({ customerId: `customer-${i % 200}`, total: i })));
    await client.close();
  });
  afterAll(() => the.stop());

  const owner = async (partition: string) =>
    (await the.control.catalog.partitions.get(KEYSPACE, partition)).route.source;
  const elsewhere = async (partition: string) => {
    const source = await owner(partition);
    return the.control.nodes.names.find((name) => name !== source)!;
  };
  const status = (partition: string) => migrationStatus(the.control, KEYSPACE, partition);
  async function reached(partition: string, test: (now: Awaited<ReturnType<typeof status>>) => boolean): Promise<void> {
    for (let i = 0; i < 300; i++) {
      if (test(await status(partition))) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${partition} does not get there: ${JSON.stringify(await status(partition))}`);
  }
  const ended = (partition: string) => reached(partition, ({ state }) => state !== 'running');

  it('says what a move would do, and does nothing', async () => {
    const to = await elsewhere('p0');
    const outcome = await the.drover('migrate', KEYSPACE, 'p0', '--to', to, '--dry-run', '--soak', '90m', '--json');
    expect(outcome.exitCode).toBe(0);
    const { plan } = outcome.json<{ plan: { documents: number } }>();
    expect(plan).toMatchObject({
      source: await owner('p0'),
      target: to,
      weights: [1, 5, 25, 50, 100],
      dwell: 50,
      soak: 5_400_000,
      notes: [],
    });
    expect(plan.documents).toBeGreaterThan(0);
    expect((await the.drover('migrate', KEYSPACE, 'p0', '--to', to, '--dry-run')).stdout).toContain(
      'Nothing was changed',
    );
    expect((await the.drover('migration', 'show', KEYSPACE, 'p0')).exitCode).toBe(2);
  });

  it.each([[[]], [['--dry-run']]])('refuses what is wrong before it touches anything %j', async (how) => {
    const to = await elsewhere('p0');
    for (const [args, why] of [
      [['shop.ordres', 'p0', '--to', to], 'no keyspace "shop.ordres"'],
      [[KEYSPACE, 'p9', '--to', to], 'no partition "p9"'],
      [[KEYSPACE, 'p0', '--to', 'mars'], 'no node "mars"'],
      [[KEYSPACE, 'p0', '--to', await owner('p0')], 'is already on'],
      [[KEYSPACE, 'p0', '--to', to, '--weights', '50,20,100'], 'rise strictly'],
      [[KEYSPACE, 'p0', '--to', to, '--weights', '50'], 'rise strictly'],
    ] as const) {
      const outcome = await the.drover('migrate', ...args, ...how, '--json');
      expect(outcome.exitCode).toBe(2);
      expect(outcome.json()).toMatchObject({
        error: { code: 'InvalidRequest', message: expect.stringContaining(why) as string },
      });
    }
    expect((await the.control.catalog.partitions.get(KEYSPACE, 'p0')).epoch).toBe(1);
  });

  it('moves a partition and waits until it is done', async () => {
    const [from, to] = [await owner('p0'), await elsewhere('p0')];
    // The soak is long enough to be seen.
    const how = ['--wait', '--soak', '2s', '--reason', 'heat', '--json'];
    const outcome = await the.drover('migrate', KEYSPACE, 'p0', '--to', to, ...how);
    expect(outcome.exitCode).toBe(0);
    const { migration } = outcome.json<{ migration: { steps: object[] } }>();
    expect(migration).toMatchObject({
      keyspace: KEYSPACE,
      partition: 'p0',
      source: from,
      target: to,
      state: 'completed',
      weight: 100,
      reason: 'heat',
    });
    expect(migration.steps.length).toBeGreaterThan(1);
    // Progress is told, but not on stdout.
    expect(outcome.stderr).toMatch(/p0: soak, 100 %/);
    expect(await owner('p0')).toBe(to);
    const shown = await the.drover('migration', 'show', KEYSPACE, 'p0');
    expect(shown.stdout).toMatch(/state +completed/);
    const listed = (await the.drover('migration', 'list', '--state', 'completed', '--json')).json();
    expect(listed).toMatchObject({ migrations: [{ partition: 'p0', state: 'completed' }] });
    expect((await the.drover('migration', 'pause', KEYSPACE, 'p0')).exitCode).toBe(2);
  });

  it('is steered: weights, pause, resume, approve, rollback', async () => {
    const [from, to] = [await owner('p1'), await elsewhere('p1')];
    const start = ['migrate', KEYSPACE, 'p1', '--to', to, '--approve-cutover', '--soak', '1h', '--by', 'ada'];
    expect(await the.drover(...start)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining(`is moving from ${from} to ${to}`) as string,
    });
    const again = await the.drover(...start, '--json');
    expect(again.exitCode).toBe(2);
    expect(again.json()).toMatchObject({ error: { message: expect.stringContaining('already moving') as string } });
    const busy = await the.drover('node', 'remove', to);
    expect(busy).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/move to it is under way/) as string });

    await reached('p1', ({ waitingFor }) => waitingFor === 'approve');
    const shown = await the.drover('migration', 'show', KEYSPACE, 'p1');
    expect(shown.stdout).toMatch(/waits for approval/);
    expect(shown.stdout).toContain(`drover migration approve ${KEYSPACE} p1`);
    expect((await the.drover('partition', 'list', KEYSPACE)).stdout).toMatch(new RegExp(`p1 +${from} +${to} +0 %`));

    expect((await the.drover('migration', 'weights', KEYSPACE, 'p1', '50,40')).exitCode).toBe(2);
    const amended = await the.drover('migration', 'weights', KEYSPACE, 'p1', '20,60,100', '--json');
    expect(amended.json()).toMatchObject({ progress: { weights: [20, 60, 100] } });
    expect((await the.drover('migration', 'pause', KEYSPACE, 'p1', '--json')).json()).toMatchObject({
      progress: { paused: true },
    });
    expect((await the.drover('migration', 'resume', KEYSPACE, 'p1')).stdout).toContain('goes on');
    expect((await the.drover('migration', 'resume', KEYSPACE, 'p1')).exitCode).toBe(2);
    expect((await the.drover('migration', 'approve', KEYSPACE, 'p1')).exitCode).toBe(0);

    await reached('p1', ({ phase }) => phase === 'soak');
    const late = await the.drover('migration', 'show', KEYSPACE, 'p1', '--follow', '--timeout', '1s', '--json');
    expect(late).toMatchObject({ exitCode: 4 });
    expect(late.json()).toMatchObject({ error: { code: 'TimedOut' } });
    expect((await the.drover('migration', 'rollback', KEYSPACE, 'p1', '--reason', 'second thoughts')).stdout).toContain(
      `goes back to ${from}`,
    );
    await ended('p1');
    const record = (await the.drover('migration', 'show', KEYSPACE, 'p1', '--json')).json();
    expect(record).toMatchObject({
      migration: {
        state: 'rolledBack',
        requestedBy: 'ada',
        error: expect.stringContaining('second thoughts') as string,
      },
    });
    expect(await owner('p1')).toBe(from);
  });

  it('fails when what it waits for is rolled back, with the figures and the reason', async () => {
    const to = await elsewhere('p1');
    const waiting = the.drover('migrate', KEYSPACE, 'p1', '--to', to, '--approve-cutover', '--wait', '--json');
    await reached('p1', ({ waitingFor }) => waitingFor === 'approve');
    expect((await the.drover('migration', 'abort', KEYSPACE, 'p1', '--by', 'bob')).exitCode).toBe(0);
    const outcome = await waiting;
    expect(outcome.exitCode).toBe(1);
    expect(outcome.json()).toMatchObject({
      migration: { state: 'rolledBack', weight: 0 },
      error: { message: expect.stringContaining('aborted on request of bob') as string },
    });
  });

  it('compares both copies of a partition while it moves, and says what differs', async () => {
    const to = await elsewhere('p1');
    const still = await the.drover('verify', KEYSPACE, 'p1', '--json');
    expect(still.exitCode).toBe(3);
    expect(still.json()).toMatchObject({ error: { message: expect.stringContaining('is not moving') as string } });
    await the.drover('migrate', KEYSPACE, 'p1', '--to', to, '--approve-cutover');
    await reached('p1', ({ waitingFor }) => waitingFor === 'approve');
    const same = await the.drover('verify', KEYSPACE, 'p1');
    expect(same.exitCode).toBe(0);
    expect(same.stdout).toContain('All of them, and all indexes, are the same.');

    const { collection } = await the.control.catalog.partitions.get(KEYSPACE, 'p1');
    const copy = (await the.control.nodes.get(to)).db('shop').collection(collection);
    const changed = await copy.findOneAndUpdate({}, { $inc: { total: 1 } }, { bypassDocumentValidation: true });
    await copy.createIndex({ total: 1 });
    const outcome = await the.drover('verify', KEYSPACE, 'p1', '--json');
    expect(outcome.exitCode).toBe(1);
    expect(outcome.json()).toMatchObject({
      verification: {
        target: to,
        different: [expect.stringContaining(String(changed!._id)) as string],
        differentIndexes: ['total_1'],
      },
    });
    await the.drover('migration', 'abort', KEYSPACE, 'p1');
    await ended('p1');
  });

  it('stops everything and starts only what it stopped', async () => {
    for (const partition of ['p2', 'p3']) {
      const to = await elsewhere(partition);
      await the.drover('migrate', KEYSPACE, partition, '--to', to, '--approve-cutover');
      await reached(partition, ({ waitingFor }) => waitingFor === 'approve');
    }
    await the.drover('migration', 'pause', KEYSPACE, 'p3');
    const stopped = (await the.drover('stop', '--json')).json<{
      migrations: { partition: string; outcome: string }[];
    }>();
    const outcomes = (change: typeof stopped) =>
      Object.fromEntries(change.migrations.map(({ partition, outcome }) => [partition, outcome]));
    expect(outcomes(stopped)).toEqual({ p2: 'paused', p3: 'left' });
    const temporal = await the.control.temporal();
    const schedule = () => temporal.schedule.getHandle(FORECAST_SCHEDULE_ID).describe();
    expect((await schedule()).state.paused).toBe(true);
    const refused = await the.drover('migrate', KEYSPACE, 'p0', '--to', await elsewhere('p0'), '--json');
    expect(refused.exitCode).toBe(3);
    expect(refused.json()).toMatchObject({ error: { code: 'Refused' } });

    const started = (await the.drover('start', '--json')).json<typeof stopped>();
    expect(outcomes(started)).toEqual({ p2: 'resumed' });
    expect((await schedule()).state.paused).toBe(false);
    expect(await status('p2')).toMatchObject({ paused: false });
    expect(await status('p3')).toMatchObject({ paused: true });
    for (const partition of ['p2', 'p3']) {
      await the.drover('migration', 'abort', KEYSPACE, partition);
      await ended(partition);
    }
  });

  it('plans and forecasts by command', async () => {
    const planned = await the.drover('plan', '--keyspace', KEYSPACE, '--json');
    expect(planned.exitCode).toBe(0);
    expect(planned.json()).toMatchObject({ mode: 'recommend', partitions: 4, decisions: [] });
    expect((await the.drover('plan')).stdout).toContain('Nothing was changed');
    expect((await the.drover('forecast', 'run', '--json')).json()).toMatchObject({ mode: 'recommend', partitions: 4 });
    expect((await the.drover('forecast', 'run', '--keyspace', 'shop.ordres')).exitCode).toBe(2);
  });

  it('says so when a workflow was ended from outside, and does not wait for it', async () => {
    const to = await elsewhere('p2');
    const waiting = the.drover('migrate', KEYSPACE, 'p2', '--to', to, '--approve-cutover', '--wait', '--json');
    await reached('p2', ({ waitingFor }) => waitingFor === 'approve');
    const temporal = await the.control.temporal();
    await temporal.workflow.getHandle(migrationWorkflowId(KEYSPACE, 'p2')).terminate('by mistake');
    const outcome = await waiting;
    expect(outcome.exitCode).toBe(1);
    const { migration } = outcome.json<{ migration: { abandoned?: true; state: string } }>();
    // Unless a worker has already had another one end it.
    expect(migration.abandoned ?? migration.state === 'rolledBack').toBe(true);
    // A worker finds it, and has another workflow end it.
    const ended = async () =>
      (await the.control.catalog.migrations.list({ partition: 'p2' }))[0]!.state === 'rolledBack';
    await until('the migration is ended', ended);
    expect((await the.drover('migration', 'show', KEYSPACE, 'p2')).stdout).toMatch(/state +rolled back/);
  });
});
