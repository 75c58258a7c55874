import type { Document } from 'mongodb';
import { BSONRegExp, Long, MinKey, ObjectId } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { wantedBy } from '../../router/wanted.js';
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
    expect(wantedBy(filter, 'customerId')).toEqual(keys(...wanted));
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
});
