import { CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { createCopyActivities } from '../../activities/copy.js';
import { createCutoverActivities } from '../../activities/cutover.js';
import { MARKERS } from '../../store/checkpoint.js';
import { createFenced } from '../../store/fenced-collection.js';
import { until } from '../store/servers.js';
import { half, KEYSPACE, keyspaceDocument, record, useNodes } from './nodes.js';

/** Nobody replicates here: whatever waits for a marker would wait until its time is over. */
describe('an activity that waits for replication', () => {
  const the = useNodes();
  const move = { migration: 'm', keyspace: KEYSPACE, partition: 'p0', source: 'n0', target: 'n1' };

  beforeAll(async () => {
    const state = { kind: 'idle' } as const;
    const partition = half('p0', { gates: ['a'], handover: { migration: 'm', target: 'n1', state } });
    for (const node of ['n0', 'n1'] as const) {
      const accepted = node === 'n0' ? [partition.box[0]] : [];
      await createFenced(await the.db(node), 'parcels.p0', { keyField: 'customerId', accepted });
    }
    // Has to be looked at again, once replication has caught up.
    const documents = (await the.db('n0')).collection('parcels.p0');
    await documents.insertOne({ customerId: 'c' }, { bypassDocumentValidation: true });
    await the.catalog.addKeyspace(keyspaceDocument(), [partition]);
    await the.catalog.migrations.insert(record('m'));
  });

  const { catchUp, verify } = {
    catchUp: () => createCopyActivities(the.dependencies()).catchUp(move),
    verify: () => createCopyActivities(the.dependencies()).verify({ ...move, maxMegabytesPerSecond: 0 }),
  };
  const publishTarget = () => createCutoverActivities(the.dependencies({ watchWriters: 0 })).publishTarget(move);

  it.each([
    ['to catch up', catchUp, 'n0'],
    ['to compare documents again', verify, 'n0'],
    ['to prove that a rollback is possible', publishTarget, 'n1'],
  ] as const)('%s ends as soon as it is cancelled', async (_, activity, origin) => {
    const markers = (await the.db(origin)).collection(MARKERS);
    await markers.deleteMany({});
    const environment = new MockActivityEnvironment();
    const waiting = environment.run(activity).catch((error: unknown) => error);
    await until('a marker is under way', async () => (await markers.countDocuments()) > 0);
    const cancelledAt = performance.now();
    environment.cancel();
    expect(await waiting).toBeInstanceOf(CancelledFailure);
    expect(performance.now() - cancelledAt).toBeLessThan(4_000);
  });
});
