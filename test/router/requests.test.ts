import type { Document } from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { checkUpdateKeepsKey, keyOfDocument } from '../../router/requests.js';

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
