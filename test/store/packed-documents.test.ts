import fc from 'fast-check';
import { Binary, BSON, Double, Long, Timestamp } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { PackedDocuments } from '../../store/packed-documents.js';
import type { RawDocument } from '../../store/raw-bson.js';
import { compose, hasZeroTimestamp, identity, idOf, rawDocument } from '../../store/raw-bson.js';

const value = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.integer(),
  fc.constantFrom(Long.ZERO, new Double(0), new Timestamp(0n), new Timestamp({ t: 1, i: 2 }), null, NaN),
  fc.uint8Array().map((bytes) => new Binary(bytes)),
);
const id = fc.oneof(value, fc.record({ a: value }), fc.date({ noInvalidDate: true }));
const named = fc.dictionary(fc.string({ unit: 'grapheme-ascii', maxLength: 4 }), value, { maxKeys: 4 });
const documents = fc
  .array(fc.tuple(id, named), { maxLength: 30 })
  .map((all) => all.map(([_id, rest]) => BSON.serialize({ ...rest, _id })))
  .chain((all) => fc.boolean().map((isIdFirst) => (isIdFirst ? all.map(idFirst) : all)));

function idFirst(document: RawDocument): RawDocument {
  const { _id, ...rest } = BSON.deserialize(document, { promoteValues: false });
  return BSON.serialize({ _id, ...rest });
}

/** As a reply has them, with other bytes before and behind. */
function listOf(all: readonly RawDocument[]): PackedDocuments {
  const list = compose(all.map((document, i) => [String(i), rawDocument(document)]));
  const reply = Buffer.concat([Buffer.alloc(7, 1), list, Buffer.alloc(7, 1)]);
  return PackedDocuments.fromList(reply.subarray(7, 7 + list.length));
}

const hex = (all: Iterable<RawDocument>): string[] =>
  Array.from(all, (document) => Buffer.from(document).toString('hex'));

describe('documents in one piece of memory', () => {
  it('are those that they were made of, from a list of a reply and one by one', () => {
    fc.assert(
      fc.property(documents, (all) => {
        for (const packed of [PackedDocuments.of(all), listOf(all)]) {
          expect(packed.length).toBe(all.length);
          expect(hex(packed)).toEqual(hex(all));
          expect(hex([packed.bytes])).toEqual([hex(all).join('')]);
        }
      }),
    );
  });

  it('know ids and timestamps of zero as each document by itself does', () => {
    fc.assert(
      fc.property(documents, (all) => {
        const packed = listOf(all);
        expect(all.map((_, i) => packed.identityAt(i))).toEqual(all.map((each) => identity(idOf(each))));
        expect(packed.withZeroTimestamp()).toEqual([...all.keys()].filter((i) => hasZeroTimestamp(all[i]!)));
      }),
    );
  });

  it('are split into pieces no larger than asked for, but for single documents, and no more pieces than needed', () => {
    fc.assert(
      fc.property(documents, fc.integer({ min: 1, max: 300 }), (all, most) => {
        const pieces = [...PackedDocuments.of(all).pieces(most)];
        expect(pieces.flatMap((piece) => hex(piece))).toEqual(hex(all));
        for (const [i, piece] of pieces.entries()) {
          expect(piece.length).toBeGreaterThan(0);
          if (piece.length > 1) expect(piece.bytes.length).toBeLessThanOrEqual(most);
          const next = pieces[i + 1]?.at(0).length ?? Infinity;
          expect(piece.bytes.length + next).toBeGreaterThan(most);
        }
      }),
    );
  });

  it('are the same only where every byte is', () => {
    fc.assert(
      fc.property(documents, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (all, which, where, change) => {
        fc.pre(all.length > 0);
        const [one, other] = [listOf(all), PackedDocuments.of([...all].reverse())];
        const i = which % all.length;
        const j = all.length - 1 - i;
        expect(one.isSame(i, other, j)).toBe(true);
        const changed = Buffer.from(all[i]!);
        changed[where % changed.length]! ^= change;
        const others = PackedDocuments.of([changed, Buffer.concat([all[i]!, Buffer.alloc(1)])]);
        expect(one.isSame(i, others, 0)).toBe(false);
        expect(one.isSame(i, others, 1)).toBe(false);
      }),
    );
  });

  it('leave out what is not to be kept', () => {
    fc.assert(
      fc.property(documents, fc.infiniteStream(fc.boolean()), (all, kept) => {
        const keep = all.map(() => kept.next().value as boolean);
        const rest = listOf(all).filter((i) => keep[i]!);
        expect(hex(rest)).toEqual(hex(all.filter((_, i) => keep[i])));
      }),
    );
  });

  it('have no last one where there are none', () => {
    expect(() => PackedDocuments.of([]).last).toThrow(RangeError);
    expect(() => PackedDocuments.fromList(BSON.serialize({ 0: 1 }))).toThrow(
      'a list of documents holds something else',
    );
  });
});
