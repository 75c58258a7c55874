import type { Db, Document } from 'mongodb';
import { Long } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { PresentDefinition } from '../../store/collection-definition.js';
import {
  decoded,
  definitionFromBson,
  definitionToBson,
  differentIndexes,
  differentOptions,
  expiryOf,
  NEVER,
  rawOptions,
  readDefinition,
} from '../../store/collection-definition.js';
import { applyChanges, changesBetween, described } from '../../store/definition-changes.js';
import { setExpiry } from '../../store/expiry.js';
import { createFenced, inspect, replaceByClosed } from '../../store/fenced-collection.js';
import { buildIndexes } from '../../store/shadow-indexes.js';
import { useServers } from './servers.js';

const { clients } = useServers(2);
const fence = { keyField: 'customerId', accepted: [] };
let databases = 0;
const fresh = (): [Db, Db] => {
  const name = `defined${databases++}`;
  return [clients[0]!.db(name), clients[1]!.db(name)];
};
const definition = async (db: Db): Promise<PresentDefinition> => (await readDefinition(db, 'orders'))!;

const INDEXES: readonly (Document & { key: Document | Map<string, unknown> })[] = [
  { name: 'unique', key: { a: 1 }, unique: true },
  { name: 'unique and partial', key: { a: 1, b: -1 }, unique: true, partialFilterExpression: { b: { $gt: Long.fromNumber(5) } } },
  { name: 'sparse', key: { c: 1 }, sparse: true },
  { name: 'ttl', key: { d: 1 }, expireAfterSeconds: 60 },
  { name: 'partial ttl', key: { e: 1 }, expireAfterSeconds: 0, partialFilterExpression: { done: true } },
  { name: 'text', key: { t: 'text', u: 'text' }, weights: { u: 5 }, default_language: 'german', language_override: 'lang' },
  { name: '2dsphere', key: { place: '2dsphere' } },
  { name: '2d', key: { at: '2d' }, bits: 20, min: -100, max: 100 },
  { name: 'hashed', key: { customerId: 'hashed' } },
  { name: 'wildcard', key: { '$**': 1 }, wildcardProjection: { a: 0 } },
  { name: 'wildcard below', key: { 'sub.$**': 1 } },
  { name: 'collation', key: { f: 1 }, collation: { locale: 'de', strength: 1 } },
  { name: 'hidden', key: { g: 1 }, hidden: true },
  { name: 'storage', key: { h: 1 }, storageEngine: { wiredTiger: { configString: 'block_compressor=zstd' } } },
  // An object would have the whole numbers in ascending order.
  { name: 'years', key: new Map([['2021', 1], ['2020', -1], ['2019', 1]]) },
]; // prettier-ignore

const OPTIONS = {
  storageEngine: { wiredTiger: { configString: 'block_compressor=zstd' } },
  indexOptionDefaults: { storageEngine: { wiredTiger: { configString: 'prefix_compression=false' } } },
  changeStreamPreAndPostImages: { enabled: true },
};

describe('the definition of a collection', () => {
  it('is copied with indexes of all kinds, by which nothing expires yet', async () => {
    const [source, target] = fresh();
    await source.createCollection('orders');
    await source.command({ createIndexes: 'orders', indexes: INDEXES });
    await source.command({ collMod: 'orders', index: { name: 'sparse', prepareUnique: true } });
    const original = await definition(source);
    expect(original.indexes).toHaveLength(INDEXES.length);

    await createFenced(target, 'orders', fence, original.options);
    await buildIndexes(target, 'orders', definitionFromBson(definitionToBson(original)).indexes);
    const copy = await definition(target);
    expect(differentIndexes(original, copy)).toEqual([]);
    const years = copy.indexes.find(({ name }) => name === 'years')!;
    expect([...(decoded(years.options).get('key') as Map<string, unknown>).keys()]).toEqual(['2021', '2020', '2019']);
    const expiring = (indexes: PresentDefinition['indexes']) => indexes.flatMap((each) => expiryOf(each) ?? []);
    expect(expiring(original.indexes)).toEqual([60, 0]);
    expect(expiring(copy.indexes)).toEqual([NEVER, NEVER]);
  });

  it('is copied with its options, which also a closed collection in its place keeps', async () => {
    const [source, target] = fresh();
    await createFenced(source, 'orders', fence, rawOptions(OPTIONS));
    const { options } = await definition(source);
    await createFenced(target, 'orders', fence, options);
    expect((await inspect(target, 'orders')).options).toMatchObject(OPTIONS);
    await replaceByClosed(target, 'orders', { keyField: 'customerId' }, 'm-1', () => Promise.resolve());
    expect(differentOptions(options, (await definition(target)).options)).toEqual([]);
    await replaceByClosed(target, 'orders', { keyField: 'customerId' }, 'm-2', () => Promise.resolve(), {
      options: rawOptions({}),
    });
    expect(differentOptions(options, (await definition(target)).options).sort()).toEqual(Object.keys(OPTIONS).sort());
    expect((await inspect(target, 'orders')).fenced).toBe(true);
  });

  it('is another one when the collection was made anew; of a view and of nothing there is none', async () => {
    const [db] = fresh();
    await db.createCollection('orders');
    const { uuid } = await definition(db);
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    await db.dropCollection('orders');
    expect(await readDefinition(db, 'orders')).toBeUndefined();
    await db.createCollection('orders');
    expect((await definition(db)).uuid).not.toBe(uuid);
    await db.createCollection('view', { viewOn: 'orders', pipeline: [] });
    expect(await readDefinition(db, 'view')).toBeUndefined();
  });

  it('is changed on a copy as it was on the original, also by an attempt that does it again', async () => {
    const [source, target] = fresh();
    await createFenced(source, 'orders', fence);
    await source.command({ createIndexes: 'orders', indexes: INDEXES });
    const before = await definition(source);
    await createFenced(target, 'orders', fence, before.options);
    await buildIndexes(target, 'orders', before.indexes);

    const orders = source.collection('orders');
    const modify = (change: Document) => source.command({ collMod: 'orders', ...change });
    await orders.dropIndex('years');
    await orders.dropIndex('storage');
    await orders.createIndex({ h: -1 }, { name: 'storage' });
    await orders.createIndex({ i: 1 }, { expireAfterSeconds: 5 });
    await modify({ index: { name: 'sparse', hidden: true } });
    await modify({ index: { name: 'hidden', hidden: false } });
    await modify({ index: { name: 'ttl', expireAfterSeconds: 90 } });
    await modify({ index: { name: 'unique', expireAfterSeconds: 7 } });
    await modify({ changeStreamPreAndPostImages: { enabled: true } });
    const after = await definition(source);
    const changes = changesBetween(before, after);
    expect(described(changes).sort()).toEqual([
      'the index hidden was changed',
      'the index i_1 was created',
      'the index sparse was changed',
      'the index storage was changed',
      'the index ttl was changed',
      'the index unique was changed',
      'the index years was dropped',
      'the option changeStreamPreAndPostImages was changed',
    ]);
    const copied = await definition(target);
    await applyChanges(target, 'orders', changesBetween(copied, after), after.options);
    await applyChanges(target, 'orders', changesBetween(copied, after), after.options);
    const copy = await definition(target);
    expect([...differentIndexes(after, copy), ...differentOptions(after.options, copy.options)]).toEqual([]);
  });

  it('says when an index of the copy can not be beside the new one', async () => {
    const [source, target] = fresh();
    await source.collection('orders').createIndex({ a: 1 }, { name: 'ours' });
    await target.collection('orders').createIndex({ a: 1 }, { name: 'theirs' });
    const created = { created: (await definition(source)).indexes, dropped: [], changed: [], options: [] };
    await expect(applyChanges(target, 'orders', created, new Map())).rejects.toMatchObject({ code: 'SourceChanged' });
  });

  it('changes an expiry of the collection that is meant only, and says what it was', async () => {
    const [db] = fresh();
    await db.collection('orders').createIndex({ d: 1 }, { expireAfterSeconds: 60 });
    const { uuid } = await definition(db);
    const expiry = async () => expiryOf((await definition(db)).indexes[0]!);
    expect(await setExpiry(db, 'orders', uuid, 'd_1', NEVER)).toBe(60);
    expect(await expiry()).toBe(NEVER);
    expect(await setExpiry(db, 'orders', uuid, 'gone', 5)).toBeUndefined();
    expect(await setExpiry(db, 'orders', '00000000-0000-4000-8000-000000000000', 'd_1', 5)).toBeUndefined();
    expect(await setExpiry(db, 'nothing', uuid, 'd_1', 5)).toBeUndefined();
    expect(await expiry()).toBe(NEVER);
  });
});
