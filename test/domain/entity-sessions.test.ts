import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AccessCorrelation, SESSION_MS } from '../../domain/access-correlation.js';
import type { EntityUse } from '../../domain/entity-sessions.js';
import { EntitySessions, MOST_ENTITIES, userOf } from '../../domain/entity-sessions.js';
import { random } from '../../examples/random.js';

const HOUR_MS = 3_600_000;
const START = Date.parse('2026-06-01T10:00:00Z');
const [ann, bob] = [userOf('192.0.2.1')!, userOf('192.0.2.2')!];

const sessions = () => new EntitySessions('shop.orders');
function ended(found: EntitySessions): EntityUse[] {
  found.end();
  return found.take();
}

describe('sessions of users', () => {
  it('have the entities that one user uses within a minute', () => {
    const found = sessions();
    found.add(ann, START, 1n);
    found.add(bob, START + 1, 9n);
    found.add(ann, START + 20_000, -2n);
    found.add(ann, START + 59_999, 1n);
    found.add(ann, START + 60_000, 3n);
    expect(ended(found)).toEqual([
      {
        ...{ keyspace: 'shop.orders', hour: START, sessions: 3, pairs: [['-2', '1', 1]] },
        items: expect.arrayContaining([
          ['1', 1],
          ['-2', 1],
          ['3', 1],
          ['9', 1],
        ]) as unknown,
      },
    ]);
    expect(ended(found)).toEqual([]);
  });

  it('are those of the hour in which they began, and may be told again until it is over', () => {
    const found = sessions();
    const late = START + HOUR_MS - 1_000;
    found.add(ann, late, 1n);
    found.add(ann, late + 2_000, 2n);
    found.end(late + 30_000);
    expect(found.take(late + 30_000)).toEqual([]);
    found.add(bob, late, 1n);
    const soon = late + SESSION_MS;
    found.end(soon);
    expect(found.take(soon)).toMatchObject([{ hour: START, sessions: 2, pairs: [['1', '2', 1]] }]);
    found.add(ann, soon, 3n);
    found.end(soon + SESSION_MS);
    expect(found.take(soon + SESSION_MS)).toMatchObject([
      { hour: START, sessions: 2 },
      { hour: START + HOUR_MS, sessions: 1 },
    ]);
    expect(found.take(soon + SESSION_MS).map(({ hour }) => hour)).toEqual([START + HOUR_MS]);
  });

  it('are none of who uses so many entities that it is no user', () => {
    const found = sessions();
    for (let i = 0; i < MOST_ENTITIES; i++) found.add(ann, START, BigInt(i));
    for (let i = 0; i <= MOST_ENTITIES; i++) found.add(bob, START, BigInt(i));
    expect(ended(found)).toMatchObject([{ sessions: 1 }]);
  });

  it('are told apart by address or name, whatever port or proxy there is; a range of addresses is nobody', () => {
    expect(userOf('192.0.2.1:4711')).toBe(ann);
    expect(userOf('192.0.2.1, 10.0.0.1')).toBe(ann);
    expect(userOf('[2001:db8::1]:443')).toBe(userOf('2001:db8::1'));
    expect(userOf('alice')).not.toBe(userOf('bob'));
    expect(userOf('192.0.2.0/24')).toBeUndefined();
  });

  it('come out the same as when each user is looked at alone, in whatever order time goes', () => {
    const use = fc.record({
      user: fc.nat(5),
      at: fc.integer({ min: 0, max: 3 * HOUR_MS }),
      entity: fc.bigInt({ min: 0n, max: 8n }),
    });
    fc.assert(
      fc.property(fc.array(use, { maxLength: 300 }), (all) => {
        const [together, alone] = [sessions(), new AccessCorrelation()];
        for (const { user, at, entity } of all) together.add(user, START + at, entity);
        for (let user = 0; user <= 5; user++) {
          const one = sessions();
          for (const each of all) if (each.user === user) one.add(user, START + each.at, each.entity);
          for (const counts of ended(one)) alone.addCounts(counts);
        }
        const sum = new AccessCorrelation();
        for (const counts of ended(together)) sum.addCounts(counts);
        const sorted = (of: AccessCorrelation) =>
          of.top(Infinity, 1).sort((x, y) => `${x.a} ${x.b}`.localeCompare(`${y.a} ${y.b}`));
        expect(sorted(sum)).toEqual(sorted(alone));
      }),
    );
  });

  it('are of some of the users where there are too many, with all that these use, in bounded memory', () => {
    const found = sessions();
    const next = random(3);
    // Each of 20,000 users a minute uses two of her own entities, and every tenth of them a popular pair.
    for (let minute = 0; minute < 10; minute++) {
      for (let i = 0; i < 60_000; i++) {
        const n = Math.floor(next() * 20_000);
        const user = userOf(`user ${n}`)!;
        const at = START + minute * SESSION_MS + i;
        found.add(user, at, BigInt(1_000 + n));
        if (n % 10 === 0) for (const popular of [1n, 2n]) found.add(user, at, popular);
      }
    }
    const [use] = ended(found);
    expect(use!.sessions).toBeGreaterThan(300);
    expect(use!.sessions).toBeLessThan(10 * 128);
    expect(use!.pairs.length).toBeLessThanOrEqual(256);
    expect(use!.items.length).toBeLessThanOrEqual(3 * 256);
    const correlation = new AccessCorrelation();
    correlation.addCounts(use!);
    const [first] = correlation.top(1);
    expect(first).toMatchObject({ a: '1', b: '2' });
    expect(first!.jaccard).toBeGreaterThan(0.9);
    expect(first!.sessions / use!.sessions).toBeGreaterThan(0.05);
    expect(first!.sessions / use!.sessions).toBeLessThan(0.15);
  });

  it('are all looked at again when there are few users again', () => {
    const found = sessions();
    const add = (users: number, at: number) => {
      for (let i = 0; i < users; i++) found.add(userOf(`user ${i}`)!, at, 1n);
      found.end(at + SESSION_MS);
      return found.take().reduce((all, { sessions: each }) => all + each, 0);
    };
    expect(add(50, START)).toBe(50);
    expect(add(20_000, START + HOUR_MS)).toBeLessThan(128);
    for (let minute = 0; minute < 10; minute++) add(50, START + 2 * HOUR_MS + minute * SESSION_MS);
    expect(add(50, START + 3 * HOUR_MS)).toBe(50);
  });
});
