import type { Document, Filter } from 'mongodb';
import { Long, MongoInvalidArgumentError, ObjectId } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { checkUpdateKeepsKey, keyOfDocument, keyOfFilter } from '../../router/requests.js';

describe('the key that a filter asks for', () => {
  const id = new ObjectId();
  const date = new Date(0);
  const found: readonly (readonly [string, Filter<Document>, unknown])[] = [
    ['a value', { customerId: 'c1', total: { $gt: 5 } }, 'c1'],
    ['a number', { customerId: 0 }, 0],
    ['false', { customerId: false }, false],
    ['an empty string', { customerId: '' }, ''],
    ['null', { customerId: null }, null],
    ['an ObjectId', { customerId: id }, id],
    ['a date', { customerId: date }, date],
    ['a 64-bit integer', { customerId: Long.fromNumber(5) }, Long.fromNumber(5)],
    ['$eq', { customerId: { $eq: 'c1' } }, 'c1'],
    ['$eq null', { customerId: { $eq: null } }, null],
    ['$eq beside other conditions', { customerId: { $eq: 'c1', $exists: true } }, 'c1'],
    ['$in of one', { customerId: { $in: ['c1'] } }, 'c1'],
    ['$in of null', { customerId: { $in: [null] } }, null],
  ];
  it.each(found)('is taken from %s', (_what, filter, key) => {
    expect(keyOfFilter(filter, 'customerId', 'findOne')).toEqual(key);
  });

  it('is found by its path, as a dotted name and in an embedded document', () => {
    expect(keyOfFilter({ 'customer.id': 7 }, 'customer.id', 'findOne')).toBe(7);
    expect(keyOfFilter({ 'customer.id': { $eq: 7 } }, 'customer.id', 'findOne')).toBe(7);
    expect(keyOfFilter({ 'customer.id': null }, 'customer.id', 'findOne')).toBeNull();
    expect(keyOfFilter({ customer: { id: 7 } }, 'customer.id', 'findOne')).toBe(7);
  });

  const refused: readonly (readonly [string, Filter<Document>, RegExp])[] = [
    [
      'a filter without the key',
      { _id: 1 as never },
      /findOne needs the partition key in its filter, such as \{ "customerId"/,
    ],
    ['an empty filter', {}, /needs the partition key/],
    ['a range', { customerId: { $gt: 'a' } }, /one value of the partition key "customerId", compared by equality/],
    ['$in of several', { customerId: { $in: ['a', 'b'] } }, /compared by equality/],
    ['$in of none', { customerId: { $in: [] } }, /compared by equality/],
    ['$ne', { customerId: { $ne: 'a' } }, /compared by equality/],
    ['$exists', { customerId: { $exists: true } }, /compared by equality/],
    ['a key within $and', { $and: [{ customerId: 'a' }] }, /needs the partition key/],
    ['a key within $or', { $or: [{ customerId: 'a' }, { customerId: 'b' }] }, /needs the partition key/],
  ];
  it.each(refused)('can’t be told from %s', (_what, filter, message) => {
    expect(() => keyOfFilter(filter, 'customerId', 'findOne')).toThrow(MongoInvalidArgumentError);
    expect(() => keyOfFilter(filter, 'customerId', 'findOne')).toThrow(message);
  });
});

describe('the key of a document', () => {
  it('is one value, null included', () => {
    expect(keyOfDocument({ customerId: null }, 'customerId')).toBeNull();
    expect(keyOfDocument({ customer: { id: 7 } }, 'customer.id')).toBe(7);
  });

  it.each([
    ['missing', {}],
    ['undefined', { customerId: undefined }],
    ['an array', { customerId: ['a'] }],
    ['an empty array', { customerId: [] }],
  ])('that is %s is refused', (_what, document) => {
    expect(() => keyOfDocument(document, 'customerId')).toThrow(
      /needs the partition key "customerId", one value and no array/,
    );
  });

  it('that lies within an array is refused', () => {
    expect(() => keyOfDocument({ customer: [{ id: 7 }] }, 'customer.id')).toThrow(MongoInvalidArgumentError);
  });
});

describe('an update', () => {
  const fine: readonly (readonly [string, Document | Document[]])[] = [
    ['of other fields', { $set: { total: 1 }, $inc: { n: 1 }, $unset: { note: '' } }],
    ['of a field whose name begins alike', { $set: { customerIdentity: 1, 'customerId2.x': 1 } }],
    ['that renames other fields', { $rename: { a: 'b' } }],
    [
      'by a pipeline of other fields',
      [{ $set: { total: 1 } }, { $addFields: { n: 1 } }, { $unset: ['note', 'x.y'] }, { $unset: 'z' }],
    ],
  ];
  it.each(fine)('%s is fine', (_what, update) => {
    expect(() => checkUpdateKeepsKey(update, 'customerId')).not.toThrow();
  });

  const touching: readonly (readonly [string, Document | Document[], string])[] = [
    ['$set', { $set: { customerId: 'other' } }, 'customerId'],
    ['$unset', { $unset: { customerId: '' } }, 'customerId'],
    ['$inc', { $inc: { customerId: 1 } }, 'customerId'],
    ['$setOnInsert', { $setOnInsert: { customerId: 'a' } }, 'customerId'],
    ['$rename of the key', { $rename: { customerId: 'x' } }, 'customerId'],
    ['$rename to the key', { $rename: { x: 'customerId' } }, 'customerId'],
    ['$set of a part of it', { $set: { 'customerId.x': 1 } }, 'customerId'],
    ['$set of what contains it', { $set: { customer: {} } }, 'customer.id'],
    ['$unset of what contains it', { $unset: { customer: '' } }, 'customer.id'],
    ['$rename to what contains it', { $rename: { x: 'customer' } }, 'customer.id'],
    ['$rename to a part of it', { $rename: { x: 'customer.id.y' } }, 'customer.id'],
    ['$set in a pipeline', [{ $set: { customerId: '$x' } }], 'customerId'],
    ['$set of what contains it in a pipeline', [{ $set: { customer: '$x' } }], 'customer.id'],
    ['$addFields in a pipeline', [{ $addFields: { customerId: 1 } }], 'customerId'],
    ['$unset in a pipeline', [{ $unset: 'customerId' }], 'customerId'],
    ['$unset of several in a pipeline', [{ $unset: ['x', 'customer'] }], 'customer.id'],
    ['$project in a pipeline', [{ $project: { total: 1 } }], 'customerId'],
    ['$replaceWith in a pipeline', [{ $replaceWith: '$x' }], 'customerId'],
    ['$replaceRoot in a pipeline', [{ $replaceRoot: { newRoot: '$x' } }], 'customerId'],
  ];
  it.each(touching)('that could change the key is refused: %s', (_what, update, field) => {
    expect(() => checkUpdateKeepsKey(update, field)).toThrow(MongoInvalidArgumentError);
    expect(() => checkUpdateKeepsKey(update, field)).toThrow(`the partition key "${field}" can't be changed`);
  });
});
