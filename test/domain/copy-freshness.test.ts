import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Freshness, Look } from '../../domain/copy-freshness.js';
import { freshness, withLook } from '../../domain/copy-freshness.js';

const look = (askedAt: number, originTime: bigint, position: bigint): Look => ({ askedAt, originTime, position });

describe('how fresh a copy is', () => {
  it('is not known from one look, nor while the copy stands still', () => {
    expect(freshness([])).toBeUndefined();
    expect(freshness([look(0, 10n, 20n)])).toBeUndefined();
    expect(freshness([look(0, 10n, 12n), look(1, 13n, 12n), look(2, 14n, 12n)])).toBeUndefined();
  });

  it('is a time before which the origin had acknowledged nothing that the copy lacks', () => {
    const looks = [look(0, 10n, 5n), look(1, 20n, 15n), look(2, 30n, 28n), look(3, 40n, 31n)];
    // The third look's time has been passed: so what was looked up until the second look is settled.
    expect(freshness(looks)).toEqual({ asOf: 0, position: 15n });
    expect(freshness([...looks, look(4, 50n, 41n)])).toEqual({ asOf: 1, position: 28n });
  });

  it('is told from few looks, however long the copy stands still', () => {
    let looks: Look[] = [look(0, 10n, 5n)];
    for (let i = 1; i < 1_000; i++) looks = withLook(looks, look(i, 10n + BigInt(i), 5n));
    expect(looks.length).toBeLessThan(100);
    looks = withLook(looks, look(1_000, 2_000n, 1_500n));
    looks = withLook(looks, look(1_001, 2_001n, 2_000n));
    expect(freshness(looks)?.asOf).toBeUndefined();
    looks = withLook(looks, look(1_002, 2_002n, 2_002n));
    expect(freshness(looks)).toEqual({ asOf: 999, position: 1_500n });
    expect(withLook(looks, look(1_003, 2_003n, 2_004n)).length).toBeLessThan(10);
  });
});

type Event = 'write' | 'delete' | 'read' | 'apply' | 'ask' | 'look';

/**
 * An origin with a few documents, and a follower that reads its log, and later looks up what has changed: what is gone by then it
 * leaves as it is. A reader asks the origin for its time, and later reads the copy's position.
 *
 * @returns the first time at which the copy was said to have something that it lacked
 */
function run(
  steps: readonly (readonly [Event, number])[],
  told: (looks: readonly Look[]) => Freshness | undefined,
): number | undefined {
  const log: { readonly doc: number; readonly present: boolean; readonly at: number }[] = [];
  const origin = new Map<number, { readonly index: number; readonly present: boolean }>();
  const copy = new Map<number, number>();
  let [read, applied] = [0, 0];
  let asked: { readonly askedAt: number; readonly originTime: bigint } | undefined;
  let looks: readonly Look[] = [];
  for (const [now, [event, doc]] of steps.entries()) {
    if (event === 'write' || event === 'delete') {
      const present = event === 'write';
      log.push({ doc, present, at: now });
      origin.set(doc, { index: log.length - 1, present });
    } else if (event === 'read') read = log.length;
    else if (event === 'apply') {
      const last = new Map<number, { present: boolean; deletedAt?: number }>();
      for (const [i, each] of log.slice(applied, read).entries()) {
        const { deletedAt } = last.get(each.doc) ?? {};
        const deleted = each.present ? deletedAt : applied + i;
        last.set(each.doc, { present: each.present, ...(deleted === undefined ? {} : { deletedAt: deleted }) });
      }
      for (const [each, { present, deletedAt }] of last) {
        const found = origin.get(each)!;
        if (present && found.present) copy.set(each, found.index);
        else if (deletedAt !== undefined) copy.set(each, deletedAt);
      }
      applied = read;
    } else if (event === 'ask') {
      // What asks is a write of its own, of no document.
      log.push({ doc: -1, present: true, at: now });
      origin.set(-1, { index: log.length - 1, present: true });
      asked = { askedAt: now, originTime: BigInt(log.length - 1) };
    } else if (asked !== undefined) {
      // The position is that of the last change that was applied; others of its time may not have been.
      looks = withLook(looks, { ...asked, position: BigInt(applied - 1) });
      asked = undefined;
      const fresh = told(looks);
      if (fresh === undefined) continue;
      for (const [index, { doc: changed, at }] of log.entries()) {
        if (at < fresh.asOf && (copy.get(changed) ?? -1) < index) return now;
      }
    }
  }
  return undefined;
}

const steps = fc.array(
  fc.tuple(fc.constantFrom<Event>('write', 'write', 'delete', 'read', 'apply', 'ask', 'look'), fc.nat({ max: 1 })),
  { maxLength: 60, size: 'max' },
);

describe('a copy that is followed in any order of events', () => {
  it('has everything that it is said to have', () => {
    fc.assert(
      fc.property(steps, (each) => run(each, freshness) === undefined),
      { numRuns: 20_000 },
    );
  });

  it('is ahead of what its position alone would tell, in some', () => {
    const byPosition = (looks: readonly Look[]) => {
      const { position } = looks.at(-1)!;
      const seen = looks.findLast(({ originTime }) => originTime < position);
      return seen && { asOf: seen.askedAt, position };
    };
    expect(
      fc.check(
        fc.property(steps, (each) => run(each, byPosition) === undefined),
        { numRuns: 20_000 },
      ).failed,
    ).toBe(true);
  });

  it('is said to be fresh as soon as it may be', () => {
    const cycle: (readonly [Event, number])[] = ['ask', 'look', 'write', 'read', 'apply'].map((event) => [
      event as Event,
      0,
    ]);
    let last: Freshness | undefined;
    run([...cycle, ...cycle, ...cycle, ...cycle], (looks) => (last = freshness(looks)));
    expect(last).toBeDefined();
  });
});
