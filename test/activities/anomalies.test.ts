import type { Client, IntervalSpec, ScheduleOptions } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import type { AnomalyCheck } from '../../activities/anomalies.js';
import { chooseAnomalies, createAnomalyActivities } from '../../activities/anomalies.js';
import type { Dependencies } from '../../activities/dependencies.js';
import type { AnomalyDocument } from '../../store/catalog/anomalies.js';
import { ensureAnomalySchedule } from '../../workers/schedule.js';
import { reevaluationWorkflowId } from '../../workflows/messages.js';

const KEYSPACE = 'shop.orders';
const WINDOW = 300_000;
const NOW = 10 * WINDOW + 3_000;

const finding = (subject: string, partitions: readonly string[] = [subject]): AnomalyDocument => ({
  ...{ _id: subject, keyspace: KEYSPACE, subject, of: partitions.length > 1 ? 'node' : 'partition' },
  ...{ kind: 'spike', direction: 'up', value: 9, expected: 1, windows: 1, score: 9, partitions: [...partitions] },
  ...{ at: new Date(9 * WINDOW), foundAt: new Date(NOW) },
});
const many = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

describe('what is evaluated anew at once', () => {
  const choose = (open: readonly AnomalyDocument[], lately: readonly string[] = []) => {
    const { partitions, chosen, settled } = chooseAnomalies(open, new Set(lately), 4);
    return { partitions, chosen: chosen.map(({ _id }) => _id), settled: settled.map(({ _id }) => _id) };
  };

  it('are whole findings, as many as there is room for: nothing else counts as evaluated', () => {
    const open = [finding('a', ['p0', 'p1', 'p2']), finding('b', ['p3', 'p4']), finding('p1'), finding('p5')];
    expect(choose(open)).toEqual({ partitions: ['p0', 'p1', 'p2', 'p5'], chosen: ['a', 'p1', 'p5'], settled: [] });
  });

  it('is without what was evaluated a short time before, also of a node', () => {
    const open = [finding('p0'), finding('a', ['p0', 'p1'])];
    expect(choose(open, ['p0'])).toEqual({ partitions: ['p1'], chosen: ['a'], settled: ['p0'] });
    expect(choose(open, ['p0', 'p1'])).toEqual({ partitions: [], chosen: [], settled: ['p0', 'a'] });
  });
});

/** The activity with a catalog in which these findings wait, and no access history. */
function looking(open: readonly AnomalyDocument[]) {
  const documents = open.map((each) => ({ ...each }));
  const lately = () => new Set(documents.filter((each) => each.reevaluation).flatMap(({ partitions }) => partitions));
  const catalog = {
    keyspaces: { list: () => Promise.resolve([{ _id: KEYSPACE }]) },
    partitions: { list: () => Promise.resolve([]) },
    access: { windows: () => Promise.resolve([]) },
    settings: { automationStopped: () => Promise.resolve(false) },
    anomalies: {
      record: () => Promise.resolve(),
      list: () => Promise.resolve(documents.filter((each) => !('reevaluation' in each))),
      reevaluatedSince: () => Promise.resolve(lately()),
      setReevaluation: (ids: readonly string[], reevaluation: string | null) => {
        for (const each of documents) if (ids.includes(each._id)) Object.assign(each, { reevaluation });
        return Promise.resolve();
      },
    },
  };
  const activities = createAnomalyActivities({
    catalog,
    anomalies: { window: WINDOW, history: 10 * WINDOW, coolDown: 6 * WINDOW },
    now: () => NOW,
  } as unknown as Dependencies);
  return {
    documents,
    look: (): Promise<AnomalyCheck> => new MockActivityEnvironment().run(activities.findAnomalies),
    record: activities.recordReevaluation,
  };
}

it('more partitions than one evaluation takes are evaluated look by look, each by a workflow of its own', async () => {
  const the = looking([finding('n0', many('a', 150)), finding('n1', many('b', 150)), finding('c')]);
  const ids = new Set<string>();
  const evaluated: (readonly string[])[] = [];
  for (let i = 0; i < 2; i++) {
    const { reevaluations } = await the.look();
    expect((await the.look()).reevaluations).toEqual(reevaluations);
    const [{ window, partitions, digest, anomalies }] = reevaluations as [(typeof reevaluations)[0]];
    const workflowId = reevaluationWorkflowId(KEYSPACE, window, digest);
    ids.add(workflowId);
    evaluated.push(partitions);
    await the.record({ anomalies, workflowId });
  }
  expect(ids.size).toBe(2);
  expect(evaluated).toEqual([[...many('a', 150), 'c'], many('b', 150)]);
  expect((await the.look()).reevaluations).toEqual([]);
  expect(the.documents.every(({ reevaluation }) => typeof reevaluation === 'string')).toBe(true);
});

const DAY = 288;

/** The activity with one partition, of which ten times as much as ever is asked in the window after three days. */
function spiking(record: (anomalies: readonly AnomalyDocument[]) => Promise<void>, now: number) {
  const windows = (_: string, from: number, to: number) =>
    Promise.resolve(
      Array.from({ length: (to - from) / WINDOW }, (_each, i) => {
        const start = from + i * WINDOW;
        return { partition: 'p0', start, reads: start === 3 * DAY * WINDOW ? 1_000 : 100, writes: 0 };
      }),
    );
  const activities = createAnomalyActivities({
    catalog: {
      keyspaces: { list: () => Promise.resolve([{ _id: KEYSPACE }]) },
      partitions: { list: () => Promise.resolve([]) },
      access: { windows },
      settings: { automationStopped: () => Promise.resolve(true) },
      anomalies: { record },
    },
    anomalies: { window: WINDOW, history: 3 * DAY * WINDOW, coolDown: 6 * WINDOW },
    now: () => now,
  } as unknown as Dependencies);
  return () => new MockActivityEnvironment().run(activities.findAnomalies);
}

it('a finding that could not be recorded is recorded by the next look', async () => {
  const recorded: string[] = [];
  let fails = true;
  const look = spiking(
    (anomalies) => {
      if (fails) return Promise.reject(new Error('no catalog'));
      recorded.push(...anomalies.map(({ subject }) => subject));
      return Promise.resolve();
    },
    (3 * DAY + 1) * WINDOW + 3_000,
  );
  await expect(look()).rejects.toThrow('no catalog');
  fails = false;
  expect(await look()).toMatchObject({ found: 1 });
  expect(await look()).toMatchObject({ found: 0 });
  expect(recorded).toEqual(['p0']);
});

it('the schedule looks right after the end of a window, when its records are there, and not a window later', async () => {
  let intervals: IntervalSpec[] = [];
  const create = ({ spec }: ScheduleOptions) => {
    intervals = [...(spec.intervals ?? [])];
    return Promise.resolve();
  };
  await ensureAnomalySchedule({ schedule: { create } } as unknown as Client, { everyMs: WINDOW });
  expect(intervals).toEqual([{ every: WINDOW, offset: 3_000 }]);
  const look = spiking(() => Promise.resolve(), (3 * DAY + 1) * WINDOW + Number(intervals[0]!.offset));
  expect(await look()).toMatchObject({ found: 1 });
});
