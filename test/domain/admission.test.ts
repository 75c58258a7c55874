import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Admission, Place } from '../../domain/admission.js';
import { grant, release, request } from '../../domain/admission.js';

const empty: Admission = { queue: [], holders: [] };
const NODES = ['a', 'b', 'c', 'd'];
const limits = { total: 3, perNode: 2 };

const place = (workflowId: string, nodes: readonly string[], part: Partial<Place> = {}): Place => ({
  workflowId,
  runId: `run of ${workflowId}`,
  nodes,
  priority: 0,
  limits,
  ...part,
});
const names = (places: readonly Place[]) => places.map(({ workflowId }) => workflowId);
const queued = (...places: Place[]): Admission => places.reduce(request, empty);

type Step =
  | { readonly kind: 'request'; readonly who: number; readonly nodes: readonly string[]; readonly priority: number }
  | { readonly kind: 'release'; readonly who: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('request' as const),
    who: fc.nat(15),
    nodes: fc.uniqueArray(fc.constantFrom(...NODES), { minLength: 1, maxLength: 2 }),
    priority: fc.nat(2),
  }),
  fc.record({ kind: fc.constant('release' as const), who: fc.nat(15) }),
);

/** Any history of requests and releases; places are given after each step, as the workflow does. */
const history = (
  steps: readonly Step[],
  look: (before: Admission, after: Admission, granted: readonly Place[]) => void,
) =>
  steps.reduce((admission, next) => {
    const who = `w${next.who}`;
    const before =
      next.kind === 'request'
        ? request(admission, place(who, next.nodes, { priority: next.priority }))
        : release(admission, { workflowId: who, runId: `run of ${who}` });
    const { admission: after, granted } = grant(before);
    look(before, after, granted);
    return after;
  }, empty);

const onNode = (admission: Admission, node: string) =>
  admission.holders.filter((holder) => holder.nodes.includes(node)).length;

describe('admission', () => {
  it('never gives more places than there are, at once and per node', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        history(steps, (_before, after) => {
          expect(after.holders.length).toBeLessThanOrEqual(limits.total);
          for (const node of NODES) expect(onNode(after, node)).toBeLessThanOrEqual(limits.perNode);
        });
      }),
    );
  });

  it('leaves nobody waiting for whom there is room', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        history(steps, (_before, after) => {
          if (after.holders.length >= limits.total) return;
          for (const waiting of after.queue) {
            expect(waiting.nodes.some((node) => onNode(after, node) >= limits.perNode)).toBe(true);
          }
        });
      }),
    );
  });

  it('loses and doubles nobody', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        history(steps, (before, after, granted) => {
          const all = ({ queue, holders }: Admission) => names([...queue, ...holders]).sort();
          expect(all(after)).toEqual(all(before));
          expect(new Set(all(after)).size).toBe(all(after).length);
          expect(names(after.holders)).toEqual([...names(before.holders), ...names(granted)]);
        });
      }),
    );
  });

  it('gives places by priority, then by order of arrival', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2), { minLength: 1, maxLength: 10 }), (priorities) => {
        const waiting = priorities.map((priority, i) => place(`w${i}`, [`n${i}`], { priority }));
        const { granted } = grant(queued(...waiting));
        const ranked = [...waiting].sort((a, b) => b.priority - a.priority); // a stable sort
        expect(names(granted)).toEqual(names(ranked.slice(0, limits.total)));
      }),
    );
  });

  it('passes over those who wait for a busy node, and keeps their turn', () => {
    const busy = { ...limits, total: 10, perNode: 1 };
    const admission = queued(
      place('first', ['a', 'b'], { limits: busy }),
      place('waits', ['b', 'c'], { limits: busy, priority: 0 }),
      place('passes', ['c', 'd'], { limits: busy }),
    );
    const { admission: after, granted } = grant(admission);
    expect(names(granted)).toEqual(['first', 'passes']);
    const later = request(after, place('late', ['b'], { limits: busy }));
    const free = release(release(later, place('first', [])), place('passes', []));
    expect(names(grant(free).granted)).toEqual(['waits']);
  });

  it('one busy node does not starve the others: they go on however long its queue is', () => {
    const crowd = Array.from({ length: 50 }, (_, i) => place(`crowd${i}`, ['a'], { priority: 1 }));
    let admission = grant(queued(...crowd)).admission;
    for (let round = 0; round < 20; round++) {
      admission = request(admission, place(`other${round}`, ['b']));
      const { admission: after, granted } = grant(admission);
      expect(names(granted)).toContain(`other${round}`);
      admission = release(after, place(`other${round}`, []));
    }
  });

  it('takes a request that is repeated as one, in the queue and with a place', () => {
    const once = queued(place('w', ['a']));
    expect(request(once, place('w', ['b']))).toBe(once);
    const { admission } = grant(once);
    expect(request(admission, place('w', ['a']))).toBe(admission);
    // Another run of the same workflow is somebody else.
    expect(request(admission, { ...place('w', ['a']), runId: 'another' }).queue).toHaveLength(1);
  });

  it('a release ends a wait as well as a place, and of somebody unknown changes nothing', () => {
    const { admission } = grant(
      queued(place('has', ['a']), place('waits', ['a'], { limits: { total: 1, perNode: 1 } })),
    );
    expect(release(admission, place('waits', []))).toMatchObject({ queue: [], holders: [{ workflowId: 'has' }] });
    expect(release(admission, place('has', []))).toMatchObject({ queue: [{ workflowId: 'waits' }], holders: [] });
    expect(release(admission, place('nobody', []))).toEqual(admission);
  });
});
