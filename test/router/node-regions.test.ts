import { expect, it } from 'vitest';
import { NodeRegions } from '../../router/node-regions.js';

it('the region of a node that came in later is known soon after it was first asked for', async () => {
  let reads = 0;
  const read = () => {
    reads += 1;
    return Promise.resolve(new Map([...known, ['later', 'us']]));
  };
  const known = new Map([['first', 'eu']]);
  const regions = new NodeRegions({ regions: read }, known, () => undefined);
  expect(regions.of('first')).toBe('eu');
  expect(reads).toBe(0);
  expect([regions.of('later'), regions.of('later')]).toEqual([undefined, undefined]);
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect([regions.of('later'), regions.of('nowhere')]).toEqual(['us', undefined]);
  expect(reads).toBe(1);
});

it('without the catalog it stays unknown, and somebody is told', async () => {
  const problems: string[] = [];
  const read = () => Promise.reject(new Error('away'));
  const regions = new NodeRegions({ regions: read }, new Map(), (problem) => problems.push(problem));
  expect(regions.of('later')).toBeUndefined();
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(problems).toEqual(['looking up the regions of nodes']);
});
