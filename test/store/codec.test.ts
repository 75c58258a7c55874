import fc from 'fast-check';
import { BSON, Long, MaxKey, MinKey } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { HandoverState, Partition } from '../../domain/partition.js';
import type { ReplicationScope } from '../../domain/replication.js';
import type { Interval } from '../../domain/token.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import {
  intervalFromBson,
  intervalToBson,
  partitionFromBson,
  partitionToBson,
  scopeFromBson,
  scopeToBson,
  timeFromBson,
  timeToBson,
  tokenFromBson,
  tokenToBson,
} from '../../store/codec.js';

/** As it comes back from a server: with the driver's usual promotions. */
const stored = (document: BSON.Document): BSON.Document => BSON.deserialize(BSON.serialize(document));

const token = fc.oneof(
  fc.bigInt({ min: TOKEN_MIN, max: TOKEN_END - 1n }),
  fc.bigInt({ min: -5n, max: 5n }),
  fc.constantFrom(TOKEN_MIN, TOKEN_END - 1n),
);
const interval = fc
  .tuple(token, fc.oneof(token, fc.constant(TOKEN_END)))
  .map(([a, b]): Interval => (a <= b ? { low: a, high: b } : { low: b, high: a }));
const time = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const direction = fc.constantFrom('forward' as const, 'back' as const);
const name = fc.string({ minLength: 1, maxLength: 8 });

const state: fc.Arbitrary<HandoverState> = fc.oneof(
  fc.constant({ kind: 'idle' as const }),
  fc.record({ kind: fc.constantFrom('fencing' as const, 'undoing' as const), direction, interval }),
  fc.record({ kind: fc.constant('owned' as const), direction, interval, since: time }),
  fc.record({ kind: fc.constant('retiring' as const), formerSource: name }),
);
const partition: fc.Arbitrary<Partition> = fc.record({
  id: name,
  keyspace: name,
  name,
  box: interval.map((each) => [each] as const),
  collection: name,
  epoch: fc.nat(),
  attempt: fc.nat(),
  gates: fc.array(name),
  route: fc.record({
    source: name,
    target: fc.option(name),
    boundary: fc.oneof(token, fc.constant(TOKEN_END)),
    fence: fc.option(interval),
  }),
  handover: fc.option(fc.record({ migration: name, target: name, state })),
  lastMovedAt: fc.option(fc.nat()),
});
const owned = fc.record({ range: interval, since: time }).map(({ range, since }) => ({ ...range, since }));
const scope: fc.Arbitrary<ReplicationScope> = fc.record({
  owned: fc.array(owned, { maxLength: 4 }),
  before: fc.array(owned, { maxLength: 4 }),
  handedOver: fc.nat(),
  received: fc.nat(),
});

describe('what is stored comes back as it was', () => {
  it('a token, the end of the token space included', () => {
    fc.assert(
      fc.property(fc.oneof(token, fc.constant(TOKEN_END)), (each) => {
        expect(tokenFromBson(stored({ t: tokenToBson(each) })['t'])).toBe(each);
      }),
    );
    expect(tokenToBson(TOKEN_END)).toBeInstanceOf(MaxKey);
    expect(tokenToBson(5n)).toBeInstanceOf(Long);
  });

  it('a time of a server, up to the last one', () => {
    fc.assert(
      fc.property(time, (each) => {
        expect(timeFromBson(stored({ t: timeToBson(each) })['t'])).toBe(each);
      }),
    );
  });

  it('an interval', () => {
    fc.assert(
      fc.property(interval, (each) => {
        expect(intervalFromBson(stored(intervalToBson(each)))).toEqual(each);
      }),
    );
  });

  it('a partition in every state of its hand-over', () => {
    fc.assert(
      fc.property(partition, (each) => {
        expect(partitionFromBson(stored(partitionToBson(each)))).toEqual(each);
      }),
      { numRuns: 300 },
    );
  });

  it('the scope of a direction of replication', () => {
    fc.assert(
      fc.property(scope, (each) => {
        expect(scopeFromBson(stored(scopeToBson(each)))).toEqual(each);
      }),
    );
  });
});

describe('what is no stored value', () => {
  it.each([
    ['a fraction', 1.5],
    ['a text', '5'],
    ['nothing', null],
    ['MinKey', new MinKey()],
  ])('%s is refused as a token', (_what, value) => {
    expect(() => tokenFromBson(value)).toThrow(TypeError);
  });

  it('a number is refused as a time', () => {
    expect(() => timeFromBson(5)).toThrow(TypeError);
  });
});
