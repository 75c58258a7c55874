import type { Document } from 'mongodb';
import { BSONRegExp, Decimal128, Double, Long, MinKey, ObjectId } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { keyToInsert, tokensWithin, wantedBy } from '../../router/wanted.js';
import { tokenOfKey } from '../../store/key-token.js';

const keys = (...values: unknown[]) => values.map(tokenOfKey);
const id = new ObjectId();

describe('the keys that a filter asks for', () => {
  const known: readonly (readonly [string, Document, readonly unknown[]])[] = [
    ['a value', { customerId: 'c1', total: { $gt: 5 } }, ['c1']],
    ['zero', { customerId: 0 }, [0]],
    ['false', { customerId: false }, [false]],
    ['an empty string', { customerId: '' }, ['']],
    ['null', { customerId: null }, [null]],
    ['an ObjectId', { customerId: id }, [id]],
    ['a date', { customerId: new Date(0) }, [new Date(0)]],
    ['bytes', { customerId: Buffer.from('ab') }, [Buffer.from('ab')]],
    ['a 64-bit integer', { customerId: Long.fromNumber(5) }, [5]],
    ['$eq', { customerId: { $eq: 'c1' } }, ['c1']],
    ['$eq beside other conditions', { customerId: { $eq: 'c1', $exists: true } }, ['c1']],
    ['$in', { customerId: { $in: ['c1', 'c2', 'c1'] } }, ['c1', 'c2']],
    ['$and', { $and: [{ customerId: 'c1' }, { total: 5 }] }, ['c1']],
    ['conditions that leave one over', { customerId: { $in: ['c1', 'c2'] }, $and: [{ customerId: 'c2' }] }, ['c2']],
    ['$or of keys', { $or: [{ customerId: 'c1' }, { customerId: { $in: ['c2'] }, total: 1 }] }, ['c1', 'c2']],
    ['$or beside a key', { customerId: 'c1', $or: [{ total: 1 }, { total: 2 }] }, ['c1']],
  ];
  it.each(known)('are told by %s', (_what, filter, wanted) => {
    const tokens = [...new Set(keys(...wanted))].sort((a, b) => (a < b ? -1 : 1));
    expect(wantedBy(filter, 'customerId')).toEqual(tokens);
  });

  it('are several for a number that is hashed in several ways, as whatever it is equal to', () => {
    const [double, decimal] = [tokenOfKey(1.5), tokenOfKey(Decimal128.fromString('1.5'))];
    expect(double).not.toBe(decimal);
    for (const value of [1.5, new Double(1.5), Decimal128.fromString('1.5'), Decimal128.fromString('1.50')]) {
      expect([...wantedBy({ customerId: value }, 'customerId')].sort()).toEqual([double, decimal].sort());
    }
    expect(wantedBy({ customerId: 2 ** 63 }, 'customerId')).toEqual(
      expect.arrayContaining(keys(2 ** 63, Decimal128.fromString('9223372036854775808'))),
    );
    expect(wantedBy({ customerId: Decimal128.fromString('2') }, 'customerId')).toEqual(keys(2));
    expect(wantedBy({ customerId: NaN }, 'customerId')).toEqual(keys(NaN));
  });

  it('come in the order of their tokens', () => {
    const wanted = wantedBy({ customerId: { $in: ['a', 'b', 'c', 'd', 'e'] } }, 'customerId') as readonly bigint[];
    expect(wanted).toEqual([...wanted].sort((a, b) => (a < b ? -1 : 1)));
    expect(tokensWithin(wanted, { low: wanted[1]!, high: wanted[3]! })).toEqual(wanted.slice(1, 3));
  });

  const open: readonly (readonly [string, unknown])[] = [
    ['no filter', undefined],
    ['an empty one', {}],
    ['one without the key', { _id: 1 }],
    ['a range', { customerId: { $gt: 'a' } }],
    ['$ne', { customerId: { $ne: 'a' } }],
    ['a pattern', { customerId: /a/ }],
    ['another pattern', { customerId: new BSONRegExp('a') }],
    ['a pattern among values', { customerId: { $in: ['a', /b/] } }],
    ['what is undefined, which the driver may leave out', { customerId: undefined }],
    ['an array', { customerId: ['a'] }],
    ['a document', { customerId: { a: 1 } }],
    ['an object that is sent as something else', { customerId: 'a', toBSON: () => ({}) }],
    ['a value that is no key', { customerId: new MinKey() }],
    ['$or with a branch without the key', { $or: [{ customerId: 'a' }, { total: 1 }] }],
    ['$nor', { $nor: [{ customerId: 'a' }] }],
    ['$expr', { $expr: { $eq: ['$customerId', 'a'] } }],
  ];
  it.each(open)('are any for %s', (_what, filter) => {
    expect(wantedBy(filter, 'customerId')).toBe('all');
  });

  it('are found by their path, as a dotted name and in an embedded document that is compared as a whole', () => {
    expect(wantedBy({ 'customer.id': 7 }, 'customer.id')).toEqual(keys(7));
    expect(wantedBy({ 'customer.id': { $eq: 7 } }, 'customer.id')).toEqual(keys(7));
    expect(wantedBy({ customer: { id: 7 } }, 'customer.id')).toEqual(keys(7));
    expect(wantedBy({ customer: { $exists: true } }, 'customer.id')).toBe('all');
    expect(wantedBy({ customer: { name: 7 } }, 'customer.id')).toBe('all');
  });

  it('are one, whichever, when nothing can match', () => {
    expect(wantedBy({ customerId: { $in: [] } }, 'customerId')).toHaveLength(1);
    expect(wantedBy({ customerId: 'a', $and: [{ customerId: 'b' }] }, 'customerId')).toHaveLength(1);
  });

  it('are any where a collation compares texts, and known for what is no text', () => {
    expect(wantedBy({ customerId: 'a' }, 'customerId', true)).toBe('all');
    expect(wantedBy({ customerId: { $in: [1, 'a'] } }, 'customerId', true)).toBe('all');
    expect(wantedBy({ customerId: 1 }, 'customerId', true)).toEqual(keys(1));
  });

  it('leave the key that an upsert would insert only where it is told by equality', () => {
    expect(keyToInsert({ customerId: 'a' }, 'customerId')).toBe('a');
    expect(keyToInsert({ customerId: { $eq: 1.5 } }, 'customerId')).toBe(1.5);
    expect(keyToInsert({ $and: [{ n: 1 }, { customerId: 'a' }] }, 'customerId')).toBe('a');
    expect(keyToInsert({ customer: { id: 7 } }, 'customer.id')).toBe(7);
    for (const filter of [{}, { customerId: { $in: ['a'] } }, { $or: [{ customerId: 'a' }] }, { customerId: /a/ }]) {
      expect(keyToInsert(filter, 'customerId')).toBeUndefined();
    }
  });
});
