import { ApplicationFailure } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ControlActivities } from '../../activities/index.js';
import { requireBinary } from '../../temporal-config/binaries.js';
import { SEARCH_ATTRIBUTES } from '../../temporal-config/search-attributes.js';
import { workflowBundle } from '../../workers/bundle.js';
import type { DecisionInput, ForecastInput, ForecastSummary, MigrationInput } from '../../workflows/messages.js';
import {
  approveDecision,
  CONTROL_QUEUE,
  decisionWorkflowId,
  migrationWorkflowId,
  rejectDecision,
} from '../../workflows/messages.js';

type Mode = 'observe' | 'recommend' | 'automatic';

/** What the activities find; the tests change it. */
const world = {
  mode: 'automatic' as Mode,
  stopped: false,
  stoppedMeanwhile: false,
  keyspaces: ['shop.orders'],
  /** Keyspaces that can't be forecast. */
  broken: [] as string[],
  batches: undefined as { first: string; last: string }[] | undefined,
  /** Partitions to move, and why. */
  moves: [] as { partition: string; target: string }[],
};
let calls: { name: string; input: unknown }[] = [];
let claimed: MigrationInput[] = [];

const activities: Partial<{ [Name in keyof ControlActivities]: (input: never) => unknown }> = {
  beginForecast: () => ({
    at: 1_000,
    mode: world.mode,
    stopped: world.stopped,
    keyspaces: world.keyspaces.map((keyspace) => ({
      ...{ keyspace, mode: world.mode },
      ...(world.batches === undefined ? {} : { batches: world.batches }),
    })),
    expireAfterMs: 3_600_000,
  }),
  probeNodes: () => ({ nodes: 3, unreachable: 0 }),
  forecastKeyspace: ({ keyspace }: { keyspace: string }) => {
    if (world.broken.includes(keyspace)) throw ApplicationFailure.nonRetryable('no such collection', 'Refused');
    return { series: 12, forecasts: 12, tooShort: 0, failed: 0 };
  },
  planKeyspace: ({ run, mode, dryRun }: { run: string; mode: Mode; dryRun: boolean }) => ({
    partitions: 4,
    forecasts: 12,
    decisions: world.moves.map(({ partition, target }) => ({
      id: `${run}/${partition}`,
      partition,
      target,
      state: dryRun ? 'planned' : { observe: 'observed', recommend: 'recommended', automatic: 'approved' }[mode],
      summary: `the load of ${partition} goes to ${target}`,
    })),
    stays: { 'score-above-trigger': 4 - world.moves.length },
  }),
  automationStopped: () => world.stoppedMeanwhile,
  recordDecision: () => undefined,
  // A migration that is refused at once is enough here: what migrations do has its own tests.
  claim: ({ input }: { input: MigrationInput }) => {
    claimed.push(input);
    throw ApplicationFailure.nonRetryable('not part of this test', 'InvalidRequest');
  },
};

describe('forecastWorkflow', () => {
  let temporal: TestWorkflowEnvironment;
  let worker: Worker;
  let running: Promise<void>;
  let runs = 0;

  beforeAll(async () => {
    const path = await requireBinary('temporal-test-server');
    temporal = await TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path } },
    });
    await temporal.connection.operatorService.addSearchAttributes({
      namespace: temporal.namespace ?? 'default',
      searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map((name) => [name, 2])),
    });
    worker = await Worker.create({
      connection: temporal.nativeConnection,
      taskQueue: CONTROL_QUEUE,
      workflowBundle: await workflowBundle(),
      activities: Object.fromEntries(
        Object.entries(activities).map(([name, act]) => [
          name,
          (input: never) => {
            calls.push({ name, input });
            return act(input);
          },
        ]),
      ),
    });
    running = worker.run();
  });
  afterAll(async () => {
    worker.shutdown();
    await running;
    await temporal.teardown();
  });
  afterEach(() => {
    Object.assign(world, { mode: 'automatic', stopped: false, stoppedMeanwhile: false, batches: undefined, moves: [] });
    Object.assign(world, { keyspaces: ['shop.orders'], broken: [] });
    calls = [];
    claimed = [];
  });

  const forecast = (input: ForecastInput = {}): Promise<ForecastSummary> =>
    temporal.client.workflow.execute<(input: ForecastInput) => Promise<ForecastSummary>>('forecastWorkflow', {
      workflowId: `forecast-${runs++}`,
      taskQueue: CONTROL_QUEUE,
      args: [input],
    });
  const names = () => calls.map(({ name }) => name).filter((name) => name !== 'claim');
  const ended = async (workflowId: string) => {
    await temporal.client.workflow
      .getHandle(workflowId)
      .result()
      .catch(() => undefined);
  };

  // First what skips time: after a child that outlives its parent, the test server skips none any more.
  it('of a whole day, hour by hour, takes seconds', async () => {
    const startedAt = performance.now();
    const from = await temporal.currentTimeMs();
    world.mode = 'observe';
    const observed: string[] = [];
    for (let hour = 0; hour < 24; hour++) {
      world.moves = hour % 8 === 7 ? [{ partition: `h${hour}`, target: 'b' }] : [];
      observed.push(...(await forecast()).decisions.map(({ partition }) => partition));
      await temporal.sleep('1 hour');
    }
    expect((await temporal.currentTimeMs()) - from).toBeGreaterThanOrEqual(24 * 3_600_000);
    expect(performance.now() - startedAt).toBeLessThan(30_000);
    expect(names().filter((name) => name === 'forecastKeyspace')).toHaveLength(24);
    expect(observed).toEqual(['h7', 'h15', 'h23']);
  });

  it('of many partitions is made in batches, each once, before the plan', async () => {
    world.batches = Array.from({ length: 20 }, (_, i) => ({ first: `p${i}00`, last: `p${i}99` }));
    await forecast();
    const ranges = calls
      .filter(({ name }) => name === 'forecastKeyspace')
      .map(({ input }) => (input as { partitions: { first: string; last: string } }).partitions);
    expect(ranges).toHaveLength(20);
    expect(new Set(ranges.map(({ first }) => first))).toEqual(new Set(world.batches.map(({ first }) => first)));
    expect(names().lastIndexOf('forecastKeyspace')).toBeLessThan(names().indexOf('planKeyspace'));
  });

  it('that recommends has its decision expire when nobody answers', async () => {
    const migration: MigrationInput = { keyspace: 'shop.orders', partition: 'q0', target: 'b', decision: 'd0' };
    const from = await temporal.currentTimeMs();
    const outcome = await temporal.client.workflow.execute<(input: DecisionInput) => Promise<string>>(
      'decisionWorkflow',
      {
        workflowId: decisionWorkflowId('d0'),
        taskQueue: CONTROL_QUEUE,
        args: [{ decision: 'd0', migration, expireAfterMs: 3_600_000 }],
      },
    );
    expect(outcome).toBe('expired');
    expect((await temporal.currentTimeMs()) - from).toBeGreaterThanOrEqual(3_600_000);
    expect(calls.find(({ name }) => name === 'recordDecision')!.input).toMatchObject({ id: 'd0', state: 'expired' });
    expect(claimed).toEqual([]);
  });

  it('looks, foresees, decides and starts the moves, in this order', async () => {
    world.moves = [{ partition: 'p1', target: 'b' }];
    const summary = await forecast();
    expect(names()).toEqual(['beginForecast', 'probeNodes', 'forecastKeyspace', 'planKeyspace', 'automationStopped']);
    expect(calls[2]!.input).toMatchObject({ keyspace: 'shop.orders', at: 1_000 });
    expect(calls[3]!.input).toMatchObject({ keyspace: 'shop.orders', mode: 'automatic', dryRun: false });
    expect(summary).toMatchObject({
      mode: 'automatic',
      partitions: 4,
      forecasts: 12,
      decisions: [{ state: 'started' }],
    });
    await ended(migrationWorkflowId('shop.orders', 'p1'));
    expect(claimed).toMatchObject([
      { partition: 'p1', target: 'b', requestedBy: 'forecast', reason: 'the load of p1 goes to b' },
    ]);
  });

  it('goes on with the next keyspace where one cannot be forecast, says so, and fails where none can', async () => {
    Object.assign(world, { keyspaces: ['shop.broken', 'shop.orders'], broken: ['shop.broken'] });
    world.moves = [{ partition: 'p5', target: 'b' }];
    expect(await forecast()).toMatchObject({
      partitions: 4,
      decisions: [{ keyspace: 'shop.orders', state: 'started' }],
      note: 'shop.broken was not forecast: Refused: no such collection',
    });
    await ended(migrationWorkflowId('shop.orders', 'p5'));
    world.broken = world.keyspaces;
    await expect(forecast()).rejects.toThrow();
  });

  it('starts nothing in mode observe', async () => {
    world.mode = 'observe';
    world.moves = [{ partition: 'p2', target: 'b' }];
    expect((await forecast()).decisions).toMatchObject([{ partition: 'p2', state: 'observed' }]);
    expect(claimed).toEqual([]);
  });

  it('does nothing at all while automation is stopped, and starts nothing when it is stopped meanwhile', async () => {
    world.moves = [{ partition: 'p3', target: 'b' }];
    world.stopped = true;
    expect(await forecast()).toMatchObject({
      forecasts: 0,
      decisions: [],
      note: expect.stringMatching(/stopped/) as string,
    });
    expect(names()).toEqual(['beginForecast']);
    Object.assign(world, { stopped: false, stoppedMeanwhile: true });
    expect((await forecast()).decisions).toMatchObject([{ state: 'refused' }]);
    expect(claimed).toEqual([]);
  });

  it('changes nothing in a dry run, even while automation is stopped', async () => {
    world.moves = [{ partition: 'p4', target: 'b' }];
    world.stopped = true;
    expect((await forecast({ dryRun: true })).decisions).toMatchObject([{ partition: 'p4', state: 'planned' }]);
    expect(names()).toEqual(['beginForecast', 'planKeyspace']);
  });

  describe('in mode recommend', () => {
    const recommended = async (partition: string) => {
      world.mode = 'recommend';
      world.moves = [{ partition, target: 'b' }];
      const [decision] = (await forecast()).decisions;
      return temporal.client.workflow.getHandle(decisionWorkflowId(decision!.id));
    };

    it('waits for approval, then starts the move for whoever approved it', async () => {
      const decision = await recommended('q1');
      expect(claimed).toEqual([]);
      const workflowId = await decision.executeUpdate(approveDecision, { args: [{ by: 'ada' }] });
      expect(workflowId).toBe(migrationWorkflowId('shop.orders', 'q1'));
      await ended(workflowId);
      expect(claimed).toMatchObject([{ partition: 'q1', requestedBy: 'ada' }]);
      expect(calls.find(({ name }) => name === 'recordDecision')!.input).toMatchObject({
        state: 'approved',
        by: 'ada',
      });
    });

    it('takes no for an answer', async () => {
      const decision = await recommended('q2');
      expect(await decision.executeUpdate(rejectDecision, { args: [{ by: 'ada', reason: 'not now' }] })).toBe(
        'rejected',
      );
      expect(await decision.result()).toBe('rejected');
      expect(claimed).toEqual([]);
    });
  });
});
