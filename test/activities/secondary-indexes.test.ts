import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, expect, it } from 'vitest';
import { createCopyActivities } from '../../activities/copy.js';
import { createFenced } from '../../store/fenced-collection.js';
import { half, KEYSPACE, keyspaceDocument, record, useNodes } from './nodes.js';

const the = useNodes();
const move = { migration: 'm', keyspace: KEYSPACE, partition: 'p0', source: 'n0', target: 'n1' };

afterEach(async () => {
  await the.catalog['client'].db('drover').dropDatabase();
  for (const node of ['n0', 'n1'] as const) await (await the.db(node)).dropDatabase();
});

it.each<['after' | 'before', string[]]>([
  ['after', ['_id_', 'number_1']],
  ['before', ['_id_', 'number_1', 'place_2dsphere', 'seq_-1']],
])('of a copy are there %s its documents as the policy says, unique ones always before', async (when, expected) => {
  const partition = half('p0', { handover: { migration: 'm', target: 'n1', state: { kind: 'idle' } } });
  const source = await the.db('n0');
  await createFenced(source, 'parcels.p0', { keyField: 'customerId', accepted: [partition.box[0]] });
  const parcels = source.collection('parcels.p0');
  await parcels.createIndex({ seq: -1 }, { sparse: true });
  await parcels.createIndex({ place: '2dsphere' });
  await parcels.createIndex({ number: 1 }, { unique: true });
  await the.catalog.addKeyspace(keyspaceDocument(), [partition]);
  await the.catalog.migrations.insert(record('m'));

  const { createShadow } = createCopyActivities(the.dependencies({ secondaryIndexes: when }));
  // Also by an attempt that comes after another one.
  for (let attempt = 1; attempt <= 2; attempt++) {
    await new MockActivityEnvironment().run(() => createShadow(move));
    const indexes = await (await the.db('n1')).collection('parcels.p0').indexes();
    expect(indexes.map(({ name }) => name).sort()).toEqual(expected);
  }
});
