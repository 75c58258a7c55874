import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { Direction } from '../../domain/partition.js';
import type { MergedLog } from '../../router/watch/merged-log.js';
import type { Position } from '../../router/watch/position.js';
import { stepMarkerId } from '../../store/step-marker.js';
import type { Moment } from './fake-logs.js';
import { arrival, change, FakeNode, gone, markerSent, mergedLog, readOut, START } from './fake-logs.js';

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

const idOf = (direction: Direction, epoch: number, from: string, keyspace = 'shop.orders') =>
  stepMarkerId({ migration: 'm', direction, epoch, from, keyspace });
const sent = (id: string): Moment => [markerSent(id)];

describe('the logs of nodes between which tokens go forth and back', () => {
  const nodes = (id = idOf) => {
    const [there, back, again] = [id('forward', 5, 's'), id('back', 6, 't'), id('forward', 7, 's')];
    const atS = [one(1), sent(there), arrival(back), one(6), sent(again)];
    const inOne = [change(3), change(4), change(5)];
    const atT = [arrival(there, change(1)), one(2), inOne, sent(back), arrival(again), one(7)];
    return [new FakeNode('s', atS, 100), new FakeNode('t', atT, 50)];
  };
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

  it('are merged also by the markers of earlier releases', async () => {
    const log = mergedLog(nodes((direction, epoch) => `m/${direction}/${epoch}`));
    expect(await readOut(log)).toEqual(story);
  });
});

describe('a node that is not read', () => {
  const marker = idOf('forward', 5, 'x');
  const t = () => new FakeNode('t', [one(1), arrival(marker), one(4)], 50);

  it('is asked for when tokens have come from it', async () => {
    const x = new FakeNode('x', [one(2), one(3), sent(marker)], 100);
    const log = mergedLog([t()]);
    expect([await readOut(log), log.unread]).toEqual([[1], 'x']);
    await log.add(x.log(START, 0, 2));
    expect([await readOut(log), log.unread]).toEqual([[2, 3, 4], undefined]);
    expect([...log.position.nodes.keys()]).toEqual(['t', 'x']);
  });

  it('is not waited for when it was another keyspace that has moved', async () => {
    const other = idOf('forward', 5, 'x', 'shop.other');
    const log = mergedLog([new FakeNode('t', [one(1), arrival(other), one(4)], 50)]);
    expect([await readOut(log), log.unread]).toEqual([[1, 4], undefined]);
    expect([...log.position.sent]).toEqual([]);
  });
});

it.each(['s', 't'])(
  'the marker of a step that was undone is forgotten with its direction (“%s” read first)',
  async (first) => {
    const marker = idOf('forward', 5, 's');
    const s = new FakeNode('s', [sent(marker), one(1), [gone('drover.markers', marker)]], 100);
    const t = new FakeNode('t', [[gone('drover.checkpoints', 'm/forward')], one(2)], 50);
    const log = mergedLog(first === 's' ? [s, t] : [t, s]);
    expect((await readOut(log)).sort()).toEqual([1, 2]);
    expect([...log.position.sent]).toEqual([]);
  },
);

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
