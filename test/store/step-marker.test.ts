import { expect, it } from 'vitest';
import type { Dependencies } from '../../activities/dependencies.js';
import type { MoveContext } from '../../activities/move-context.js';
import { handoverWorld } from '../../activities/world.js';
import { checkpointOf, originOf, stepMarkerId } from '../../store/step-marker.js';

it('a marker says from which node it comes, and of which keyspace', () => {
  const marker = { migration: 'm', direction: 'forward', epoch: 5, from: 'eu-1', keyspace: 'shop.or/ders' } as const;
  const id = stepMarkerId(marker);
  expect(originOf(id)).toEqual({ from: 'eu-1', keyspace: 'shop.or/ders' });
  expect(checkpointOf(id)).toBe('m/forward');
});

it('one of an earlier release, and one that is of no step, does not', () => {
  for (const id of ['m/forward/5', 'm/forward/ping/x'])
    expect([originOf(id), checkpointOf(id)]).toEqual([undefined, 'm/forward']);
});

it.each([
  ['forward', 'm/forward/5/s/shop.orders'],
  ['back', 'm/back/5/t/shop.orders'],
] as const)('a step %s sends it behind what it takes away', async (direction, expected) => {
  const written: string[] = [];
  const context = {
    move: { migration: 'm', keyspace: 'shop.orders', partition: 'p0', source: 's', target: 't' },
    markers: () => ({
      write: (id: string) => {
        written.push(id);
        return Promise.reject(new Error('that is enough'));
      },
    }),
  } as unknown as MoveContext;
  const world = handoverWorld({ migration: { stepTimeout: 500 } } as unknown as Dependencies, context);
  const marker = { epoch: 5, interval: { low: 0n, high: 1n } };
  await expect(world.passMarker({ do: 'passMarker', direction, marker })).rejects.toThrow('that is enough');
  expect(written).toEqual([expected]);
});
