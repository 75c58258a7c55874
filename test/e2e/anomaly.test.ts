import { setTimeout as delay } from 'node:timers/promises';
import { ScheduleNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listDecisions } from '../../client/decisions.js';
import type { AccessRecord } from '../../domain/access.js';
import { ANOMALY_SCHEDULE_ID } from '../../workflows/messages.js';
import type { Scene } from './harness.js';
import { scene, until } from './harness.js';

const WINDOW_MS = 3_600_000;
/** A window that ends in the middle of the test would be one without requests. */
const CLOSE_TO_THE_END_MS = 60_000;
/** Records of a window may come late. */
const LOOKED_AT_AFTER_MS = 5_000;
const DAYS = 5;

/** Forecasts come once a day by schedule: what happens here, happens without them. */
const policy = {
  access: { window: '1h' },
  forecast: { every: '1d', history: '5d', horizon: '6h', season: ['1d'] },
  anomalies: { every: '1d' },
  plan: { trigger: 0.6, minimumGain: 0.1, minimumRequests: 10, dwell: '1h' },
};

describe('a load that is not as it was expected', () => {
  let the: Scene;
  beforeAll(async () => {
    the = await scene({ mode: 'observe', policy, partitions: 2 });
  });
  afterAll(() => the.stop());

  const record = (partition: string, region: string, time: number, reads: number): AccessRecord => ({
    ...{ keyspace: the.keyspace, partition, region, time, reads, writes: 0, errors: 0 },
    ...{ latencyMs: { sum: reads, max: 2 }, clients: [], tokens: [] },
  });
  const look = async () => {
    const temporal = await the.control.temporal();
    const trigger = () => temporal.schedule.getHandle(ANOMALY_SCHEDULE_ID).trigger();
    // The worker makes the schedule when it has come up.
    const made = () =>
      trigger().then(
        () => true,
        (error: unknown) => {
          if (error instanceof ScheduleNotFoundError) return false;
          throw error;
        },
      );
    await until('the schedule', made, 60_000);
    const before = looks++;
    await until('a look for anomalies', async () => {
      const { info } = await temporal.schedule.getHandle(ANOMALY_SCHEDULE_ID).describe();
      return info.recentActions.length > before;
    });
    const { info } = await temporal.schedule.getHandle(ANOMALY_SCHEDULE_ID).describe();
    const { action } = info.recentActions.at(-1)!;
    return (await temporal.workflow.getHandle(action.workflow.workflowId).result()) as {
      found: number;
      reevaluations: { partitions: string[]; workflowId: string }[];
    };
  };
  let looks = 0;

  it('is evaluated anew at once: the partition that it concerns, and no other; and not again in the next window', async () => {
    const { catalog } = the.control;
    const left = WINDOW_MS - (Date.now() % WINDOW_MS);
    if (left < CLOSE_TO_THE_END_MS) await delay(left + LOOKED_AT_AFTER_MS);
    else if (left > WINDOW_MS - LOOKED_AT_AFTER_MS) await delay(LOOKED_AT_AFTER_MS);
    const end = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS;
    const records: AccessRecord[] = [];
    for (let time = end - DAYS * 24 * 3_600_000; time < end; time += WINDOW_MS) {
      const usual = 100 + ((time / WINDOW_MS) % 7);
      records.push(record('p0', 'us-east', time, usual));
      // In the last window, p1 is used ten times as much, from elsewhere.
      records.push(record('p1', 'us-east', time, usual));
      if (time === end - WINDOW_MS) records.push(record('p1', 'eu-west', time, 10 * usual));
    }
    await catalog.access.append(records);

    const first = await look();
    expect(first.found).toBeGreaterThanOrEqual(1);
    expect(first.reevaluations).toHaveLength(1);
    const [{ partitions, workflowId }] = first.reevaluations as [(typeof first.reevaluations)[0]];
    expect(partitions).toContain('p1');
    const temporal = await the.control.temporal();
    const summary = (await temporal.workflow.getHandle(workflowId).result()) as {
      partitions: number;
      forecasts: number;
    };
    expect(summary.partitions).toBe(partitions.length);
    expect((await catalog.forecasts.latest(the.keyspace, 'p1')).length).toBeGreaterThan(0);
    const ofNodes = (await catalog.anomalies.list({}))
      .filter(({ of }) => of === 'node')
      .flatMap((each) => each.partitions);
    if (!ofNodes.includes('p0')) expect(await catalog.forecasts.latest(the.keyspace, 'p0')).toEqual([]);
    expect(await catalog.anomalies.list({ keyspace: the.keyspace })).toContainEqual(
      expect.objectContaining({ subject: 'p1', of: 'partition', direction: 'up', reevaluation: workflowId }),
    );
    expect((await listDecisions(the.control)).every(({ partition }) => partitions.includes(partition))).toBe(true);

    expect((await look()).reevaluations).toEqual([]);
  });
});
