import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { MergedLog } from '../../router/watch/merged-log.js';
import type { Position } from '../../router/watch/position.js';
import type { Moment } from './fake-logs.js';
import { arrival, change, FakeNode, markerSent, mergedLog, readOut } from './fake-logs.js';

const one = (n: number): Moment => [change(n)];

/** A position, and what had been shown by then. */
interface Taken {
  readonly position: Position;
  readonly shown: number;
}

/** Notes the position behind every single event. */
function positionsOf(log: MergedLog): Taken[] {
  const internals = log as unknown as { take(log: unknown): { isShown: boolean } };
  const take = internals.take.bind(log);
  const taken: Taken[] = [];
  let shown = 0;
  internals.take = (from) => {
    const result = take(from);
    if (result.isShown) shown += 1;
    taken.push({ position: log.position, shown });
    return result;
  };
  return taken;
}

describe('the logs of nodes between which tokens go forth and back', () => {
  const nodes = () => [
    new FakeNode(
      's',
      [one(1), [markerSent('m/forward/5')], arrival('m/back/6'), one(6), [markerSent('m/forward/7')]],
      100,
    ),
    new FakeNode(
      't',
      [
        arrival('m/forward/5', change(1)),
        one(2),
        [change(3), change(4), change(5)],
        [markerSent('m/back/6')],
        arrival('m/forward/7'),
        one(7),
      ],
      50,
    ),
  ];
  const story = [1, 2, 3, 4, 5, 6, 7];

  it.each([1, 2, 3, 100])(
    'are merged in order, and can be resumed behind every event (replies of %i)',
    async (size) => {
      const log = mergedLog(nodes(), size);
      const taken = positionsOf(log);
      expect(await readOut(log)).toEqual(story);
      expect(taken.length).toBeGreaterThan(15);
      for (const { position, shown } of taken) {
        expect(await readOut(mergedLog(nodes(), 2, position))).toEqual(story.slice(shown));
      }
    },
  );
});

describe('a node’s change stream that ends', () => {
  it.each([[new Error('history lost'), /history lost/] as const, ['dropped', /its database was dropped/] as const])(
    'while nobody waits for it says why, to everybody who comes later (%s)',
    async (failure, message) => {
      const nodes = [new FakeNode('s', [one(1)], 100), new FakeNode('t', [], 50)];
      const log = mergedLog(nodes);
      expect(await log.next(performance.now() + 100)).toHaveLength(1);
      nodes[1]!.failure = failure;
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (let i = 0; i < 2; i++) await expect(log.next(performance.now() + 100)).rejects.toThrow(message);
    },
  );
});

it('waiting for changes leaves nothing behind', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const log = mergedLog([new FakeNode('s', [], 1), new FakeNode('t', [], 1)]);
  const wait = async (times: number) => {
    for (let i = 0; i < times; i++) await log.next(0);
  };
  const held = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  await wait(100);
  const before = held();
  await wait(600);
  expect((held() - before) / 600).toBeLessThan(500);
  const waiting = log.next(performance.now() + 60_000);
  await log.close();
  await expect(waiting).rejects.toMatchObject({ codeName: 'Interrupted' });
});
