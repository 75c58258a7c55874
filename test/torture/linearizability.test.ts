import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { random } from '../../examples/random.js';
import type { Entry } from './linearizability.js';
import { check } from './linearizability.js';
import type { Answer, Operation, State } from './model.js';
import { apply } from './model.js';
import { findViolations } from './violations.js';

let lastId = 0;
const entry = (from: number, to: number, operation: Operation, answer: Answer): Entry => ({
  id: `o${++lastId}`,
  operation,
  invokedAt: from,
  completion: { at: to, answer },
});
const unknown = (from: number, operation: Operation): Entry => ({ id: `o${++lastId}`, operation, invokedAt: from });

const insert = (value: string) => ({ kind: 'insert', value }) as const;
const set = (value: string) => ({ kind: 'set', value }) as const;
const replace = (value: string) => ({ kind: 'replace', value }) as const;
const upsert = (value: string) => ({ kind: 'upsert', value }) as const;
const increment = { kind: 'increment' } as const;
const remove = { kind: 'delete' } as const;
const read = { kind: 'read' } as const;
const absent: Answer = { found: false };
const present: Answer = { found: true };
const sees = (value: string, count: number): Answer => ({ found: true, document: { value, count } });
const seesNothing: Answer = { found: false, document: null };

const kinds = (history: readonly Entry[]) => findViolations(history).violations.map(({ kind }) => kind);

describe('a history that is linearizable', () => {
  it('may be without any concurrency', () => {
    const history = [
      entry(1, 2, insert('a'), absent),
      entry(3, 4, insert('b'), present),
      entry(5, 6, increment, present),
      entry(7, 8, { kind: 'findAndIncrement', value: 'c', returns: 'before' }, sees('a', 1)),
      entry(9, 10, { kind: 'findAndIncrement', value: 'd', returns: 'after' }, sees('d', 3)),
      entry(11, 12, replace('e'), present),
      entry(13, 14, read, sees('e', 0)),
      entry(15, 16, remove, present),
      entry(17, 18, set('f'), absent),
      entry(19, 20, upsert('g'), absent),
      entry(21, 22, read, sees('g', 1)),
    ];
    expect(check(history)).toMatchObject({ kind: 'linearizable', states: [{ value: 'g', count: 1 }] });
  });

  it('may order concurrent operations by what was seen of them', () => {
    const history = [
      entry(1, 20, insert('a'), present),
      entry(2, 20, insert('b'), absent),
      entry(3, 20, remove, present),
      entry(4, 20, upsert('c'), absent),
      entry(21, 22, read, sees('c', 1)),
    ];
    // By the answers: inserted as b, refused as a, deleted, made anew as c; the refused one can come after c, too.
    expect(check(history).kind).toBe('linearizable');
  });

  it('may have an operation of unknown outcome take effect late, or never', () => {
    const start = [entry(1, 2, insert('a'), absent), unknown(3, set('b'))];
    expect(check([...start, entry(10, 11, read, sees('a', 0))]).kind).toBe('linearizable');
    const late = [...start, entry(10, 11, read, sees('a', 0)), entry(12, 13, read, sees('b', 0))];
    expect(check(late).kind).toBe('linearizable');
    expect(kinds([...late, entry(14, 15, read, sees('a', 0))])).toEqual(['stale']);
  });

  it('is not what an operation of unknown outcome explains twice', () => {
    const history = [entry(1, 2, insert('a'), absent), unknown(3, increment)];
    expect(check([...history, entry(4, 5, read, sees('a', 1))]).kind).toBe('linearizable');
    expect(check([...history, entry(4, 5, read, sees('a', 2))]).kind).toBe('violated');
  });
});

describe('a history that is refused', () => {
  it('has lost an acknowledged write', () => {
    const written = [entry(1, 2, insert('a'), absent), entry(3, 4, set('b'), present)];
    expect(kinds([...written, entry(5, 6, read, sees('a', 0)), entry(7, 8, read, sees('a', 0))])).toEqual(['lost']);
    expect(
      kinds([entry(1, 2, insert('a'), absent), entry(5, 6, set('b'), absent), entry(7, 8, read, seesNothing)]),
    ).toEqual(['lost']);
  });

  it('has lost an increment', () => {
    const history = [
      entry(1, 2, insert('a'), absent),
      entry(3, 9, increment, present),
      entry(4, 8, increment, present),
      entry(10, 11, read, sees('a', 1)),
      entry(12, 13, read, sees('a', 1)),
    ];
    expect(kinds(history)).toEqual(['lost']);
  });

  it('has a deleted document again', () => {
    const deleted = [entry(1, 2, insert('a'), absent), entry(3, 4, remove, present)];
    expect(kinds([...deleted, entry(5, 6, insert('b'), present), entry(7, 8, read, sees('a', 0))])).toEqual([
      'resurrected',
    ]);
    const later = [...deleted, entry(5, 6, read, seesNothing), entry(7, 8, read, sees('a', 0))];
    expect(kinds([...later, entry(9, 10, read, sees('a', 0))])).toEqual(['resurrected']);
  });

  it('has an increment that was done twice', () => {
    const history = [
      entry(1, 2, insert('a'), absent),
      entry(3, 4, increment, present),
      entry(5, 6, read, sees('a', 2)),
      entry(7, 8, read, sees('a', 2)),
    ];
    expect(kinds(history)).toEqual(['duplicate']);
  });

  it('has a strict read out of date', () => {
    const history = [
      entry(1, 2, insert('a'), absent),
      entry(3, 4, set('b'), present),
      entry(5, 6, read, sees('a', 0)),
      entry(7, 8, read, sees('b', 0)),
    ];
    expect(kinds(history)).toEqual(['stale']);
  });

  it('has a "nothing matched" for a document that was there', () => {
    const history = [entry(1, 2, insert('a'), absent), entry(3, 4, set('b'), absent), entry(5, 6, read, sees('a', 0))];
    expect(kinds(history)).toEqual(['stale']);
  });

  it('takes the final content for what it is', () => {
    const history = [entry(1, 2, insert('a'), absent), entry(3, 4, set('b'), present), entry(5, 6, read, sees('a', 0))];
    expect(findViolations(history, ({ operation }) => operation === read).violations[0]).toMatchObject({
      kind: 'lost',
      culprit: { operation: { value: 'b' } },
    });
  });
});

/** A document that really is linearizable, used by several writers: each operation takes effect at one moment. */
function simulate(seed: number, writers: number, operations: number, unknownShare = 0.02): Entry[] {
  const next = random(seed);
  const pick = <T>(...choices: readonly T[]) => choices[Math.floor(next() * choices.length)]!;
  const freeAt = Array.from({ length: writers }, () => 0);
  const plans = Array.from({ length: operations }, (_, i) => {
    const writer = Math.floor(next() * writers);
    const from = freeAt[writer]! + next() * 10;
    const to = from + 1 + next() * (next() < 0.02 ? 200 : 10);
    freeAt[writer] = to;
    const value = `v${i}`;
    const operation = pick<Operation>(
      insert(value),
      set(value),
      increment,
      replace(value),
      upsert(value),
      remove,
      read,
      { kind: 'findAndIncrement', value, returns: pick('before', 'after') },
    );
    return { id: `s${i}`, operation, from, to, at: from + next() * (to - from), unknown: next() < unknownShare };
  });
  let state: State = null;
  const entries: Entry[] = [];
  for (const { id, operation, from, to, at: _, unknown } of plans.sort((a, b) => a.at - b.at)) {
    if (unknown && next() < 0.5) {
      entries.push({ id, operation, invokedAt: from });
      continue;
    }
    const { after, answer } = apply(state, operation);
    state = after;
    entries.push({ id, operation, invokedAt: from, ...(unknown ? {} : { completion: { at: to, answer } }) });
  }
  const end = Math.max(...freeAt) + 1;
  return [...entries, entry(end, end + 1, read, { found: state !== null, document: state })];
}

describe('any history', () => {
  it('that comes of a linearizable document is accepted', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 150 }),
        (seed, writers, n) => {
          expect(check(simulate(seed, writers, n)).kind).toBe('linearizable');
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is checked in a moment, also with thousands of operations', () => {
    const history = simulate(7, 4, 5_000, 0.005);
    const before = process.cpuUsage();
    expect(check(history).kind).toBe('linearizable');
    // Of this process: what else runs on the machine does not count.
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(5_000);
  });

  it('is refused when an acknowledged insert is taken out of a log whose answers have seen it', () => {
    let refused = 0;
    for (let seed = 0; seed < 50; seed++) {
      const history = simulate(seed, 3, 100);
      const seen = history.find(
        ({ operation, completion }) =>
          'value' in operation &&
          completion !== undefined &&
          history.some(
            (other) => other.completion?.answer.document?.value === operation.value && other.operation !== operation,
          ),
      );
      if (seen === undefined) continue;
      expect(check(history.filter((each) => each !== seen)).kind).toBe('violated');
      refused += 1;
    }
    expect(refused).toBeGreaterThan(40);
  });
});
