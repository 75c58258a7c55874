import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAutomation, stopAutomation } from '../../client/automation.js';
import { approveDecision, listDecisions, rejectDecision } from '../../client/decisions.js';
import { plan, runForecast } from '../../client/forecasts.js';
import { listMigrations, migrate, waitForMigration } from '../../client/migrations.js';
import { partitionSize } from '../../client/partition-size.js';
import { contains } from '../../domain/token.js';
import { tokenOfKey } from '../../store/key-token.js';
import { FORECAST_SCHEDULE_ID } from '../../workflows/messages.js';
import type { Scene } from './harness.js';
import { scene, until } from './harness.js';
import { moveTheLoad } from './load-history.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const policy = {
  access: { window: '1h' },
  forecast: { every: '1d', window: '1h', history: '7d', horizon: '6h', season: ['1d'] },
  plan: { trigger: 0.6, minimumGain: 0.1, minimumRequests: 10, dwell: '1h' },
};

describe('in mode recommend, a forecast', () => {
  let the: Scene;
  let target: string;

  const sizes = () =>
    the.control.catalog.partitionSizes.readings(the.keyspace, {}, { from: Date.now() - DAY_MS, to: Date.now() + 1 });

  beforeAll(async () => {
    the = await scene({ mode: 'recommend', policy });
    // Past the router, so that it is no load.
    const { box, collection, route } = await the.partition('p1');
    const documents = Array.from({ length: 400 }, (_, i) => ({ customerId: `customer-${i}`, note: 'x'.repeat(i) }));
    await (
      await the.control.nodes.get(route.source)
    )
      .db('shop')
      .collection(collection)
      .insertMany(documents.filter(({ customerId }) => contains(box[0], tokenOfKey(customerId))));
  });
  afterAll(() => the.stop());

  it('says that it knows too little, and decides on nothing, without history', async () => {
    const summary = await runForecast(the.control);
    expect(summary).toMatchObject({ mode: 'recommend', partitions: 4, forecasts: 0, decisions: [] });
    expect(summary.stays['too-little-history']).toBe(4);
  });

  it('plans without recording anything', async () => {
    target = await moveTheLoad(the, 'p1');
    const planned = await plan(the.control);
    expect(planned.decisions).toMatchObject([{ partition: 'p1', target, state: 'planned' }]);
    expect(await listDecisions(the.control)).toEqual([]);
    expect(await the.control.catalog.forecasts.list(the.keyspace)).toEqual([]);
  });

  it('does nothing while all automation is stopped', async () => {
    await stopAutomation(the.control, 'test');
    expect(await runForecast(the.control)).toMatchObject({
      decisions: [],
      note: expect.stringMatching(/stopped/) as string,
    });
    const refused = migrate(the.control, { keyspace: the.keyspace, partition: 'p0', target });
    await expect(refused).rejects.toMatchObject({ code: 'Refused' });
    await startAutomation(the.control, 'test');
  });

  it('recommends the move with its reasons, and probes the nodes', async () => {
    const summary = await runForecast(the.control);
    expect(summary.forecasts).toBeGreaterThan(0);
    expect(summary.decisions).toMatchObject([{ partition: 'p1', target, state: 'recommended' }]);
    const [decision] = await listDecisions(the.control);
    expect(decision!.reasons.length).toBeGreaterThan(0);
    expect(decision!.gain).toBeGreaterThan(0.5);
    expect(decision!.score).toBeLessThan(0.6);
    for (const { probe } of await the.control.catalog.nodes.list()) {
      expect(probe).toMatchObject({ reachable: true, version: '6.0.5' });
      expect(probe!.connections).toBeGreaterThan(0);
    }
    // Kept for forecasts of the nodes.
    const node = (await the.control.catalog.nodes.list())[0]!._id;
    const [reading] = await the.control.catalog.nodeReadings.list(node, 0, Date.now() + 1);
    expect(reading!.cpuMs).toBeGreaterThan(0);
    expect(reading!.timed).toBeGreaterThan(0);
    expect((await the.partition('p1')).handover).toBeNull();
    const read = await sizes();
    expect([...read.keys()]).toEqual(['p0', 'p1', 'p2', 'p3']);
    expect(read.get('p1')!.at(-1)).toMatchObject((await partitionSize(the.control, await the.partition('p1')))!);
    expect(read.get('p1')!.at(-1)!.documents).toBeGreaterThan(50);
    // Documents have been counted, too.
    const hour = new Date(Math.floor(read.get('p1')!.at(-1)!.time / HOUR_MS) * HOUR_MS);
    expect((await the.control.catalog.sizeTurns.taken(hour)).has(node)).toBe(true);
  });

  it('does not recommend it again while the answer is open, nor reads sizes twice in an hour', async () => {
    const before = await sizes();
    expect((await runForecast(the.control)).decisions).toEqual([]);
    // Unless another one has begun.
    const hourOf = (time: number) => Math.floor(time / HOUR_MS);
    if (hourOf(before.get('p1')!.at(-1)!.time) === hourOf(Date.now())) expect(await sizes()).toEqual(before);
  });

  it('has it moved once somebody approves, and takes one answer only', async () => {
    const [decision] = await listDecisions(the.control, { state: 'recommended' });
    const before = (await sizes()).get('p1')!.at(-1)!;
    await approveDecision(the.control, decision!._id, { by: 'ada' });
    await expect(rejectDecision(the.control, decision!._id)).rejects.toMatchObject({ code: 'InvalidRequest' });
    expect((await waitForMigration(the.control, the.keyspace, 'p1')).outcome).toBe('completed');
    expect((await the.partition('p1')).route.source).toBe(target);
    const [migration] = await listMigrations(the.control, { partition: 'p1' });
    expect(migration).toMatchObject({ requestedBy: 'ada', decision: decision!._id });
    expect(await listDecisions(the.control)).toMatchObject([{ state: 'started', decidedBy: 'ada' }]);
    // A move is no growth.
    const { documents, bytes } = before;
    expect(await partitionSize(the.control, await the.partition('p1'))).toMatchObject({ documents, bytes });
  });

  it('runs on a schedule of Temporal, one at a time', async () => {
    const temporal = await the.control.temporal();
    const description = await temporal.schedule.getHandle(FORECAST_SCHEDULE_ID).describe();
    expect(description.spec.intervals).toMatchObject([{ every: 24 * 3_600_000 }]);
    expect(description.policies.overlap).toBe('SKIP');
    await temporal.schedule.getHandle(FORECAST_SCHEDULE_ID).trigger();
    await until('the scheduled forecast', async () => {
      const { info } = await temporal.schedule.getHandle(FORECAST_SCHEDULE_ID).describe();
      return info.recentActions.length > 0;
    });
  });
});

describe('in the other modes', () => {
  it('observe records what it would do, automatic does it', async () => {
    const observing = await scene({ mode: 'observe', policy });
    try {
      await moveTheLoad(observing, 'p2');
      expect((await runForecast(observing.control)).decisions).toMatchObject([{ partition: 'p2', state: 'observed' }]);
      expect(await listMigrations(observing.control)).toEqual([]);
    } finally {
      await observing.stop();
    }
    const automatic = await scene({ mode: 'automatic', policy });
    try {
      const target = await moveTheLoad(automatic, 'p2');
      expect((await runForecast(automatic.control)).decisions).toMatchObject([
        { partition: 'p2', target, state: 'started' },
      ]);
      expect((await waitForMigration(automatic.control, automatic.keyspace, 'p2')).outcome).toBe('completed');
      expect((await automatic.partition('p2')).route.source).toBe(target);
    } finally {
      await automatic.stop();
    }
  });
});
