import { describe, expect, it } from 'vitest';
import { connect } from '../../store/connect.js';
import { rawOptions, readDefinition } from '../../store/collection-definition.js';
import { indexBuilds } from '../../store/gates.js';
import { createFenced, replaceByClosed } from '../../store/fenced-collection.js';
import { indexBuildProgress } from '../../store/index-build-progress.js';
import { buildIndexes, endIndexBuilds, indexesToCopy } from '../../store/shadow-indexes.js';
import { until, useServers } from './servers.js';

const { clients, uris } = useServers(2, ['--setParameter', 'enableTestCommands=1']);

/** A build stands still behind its beginning, as one of a large collection would seem to. */
const hang = (mode: 'alwaysOn' | 'off') =>
  clients[1]!.db('admin').command({ configureFailPoint: 'hangAfterStartingIndexBuild', mode });

describe('the indexes of a copy', () => {
  it('are built once, also when the worker that had begun is gone in the middle', async () => {
    const [source, target] = clients.map((client) => client.db('shop'));
    await source!.collection('orders').createIndexes([{ key: { a: 1 } }, { key: { b: -1 }, sparse: true }]);
    await source!.collection('orders').createIndex({ c: 1 }, { unique: true });
    await target!.collection('orders').insertMany(Array.from({ length: 1_000 }, (_, i) => ({ a: i, b: i, c: i })));
    const { unique, others } = indexesToCopy((await readDefinition(source!, 'orders'))!);
    expect(unique.map(({ name }) => name)).toEqual(['c_1']);
    expect(others.map(({ name }) => name)).toEqual(['a_1', 'b_-1']);

    await hang('alwaysOn');
    const gone = await connect(uris[1]!, 'target');
    const failed = buildIndexes(gone.db('shop'), 'orders', others).catch((error: unknown) => error);
    await until('both are under way', async () => (await indexBuilds(target!, 'orders')).length === 2);
    await gone.close();
    expect(await failed).toBeInstanceOf(Error);

    const again = buildIndexes(target!, 'orders', others);
    await hang('off');
    await again;
    const names = (await target!.collection('orders').indexes()).map(({ name }) => name);
    expect(names.sort()).toEqual(['_id_', 'a_1', 'b_-1']);
    expect(await indexBuilds(target!, 'orders')).toEqual([]);
  });

  it('are not waited for by who is told to stop, and a copy that is removed does not wait for them either', async () => {
    const target = clients[1]!.db('given-up');
    const fence = { keyField: 'customerId' };
    await createFenced(target, 'orders', { ...fence, accepted: [] });
    const documents = Array.from({ length: 1_000 }, (_, i) => ({ customerId: `c${i}`, a: i, b: i, c: i }));
    await target.collection('orders').insertMany(documents, { bypassDocumentValidation: true });
    await hang('alwaysOn');
    const stop = new AbortController();
    const indexes = ['a', 'b', 'c'].map((field) => {
      const name = `${field}_1`;
      return { name, options: rawOptions({ key: { [field]: 1 }, name }) };
    });
    const building = buildIndexes(target, 'orders', indexes, stop.signal);
    await until('two are under way', async () => (await indexBuilds(target, 'orders')).length === 2);
    await until('the server tells how far both are', async () => {
      const told = await indexBuildProgress(clients[1]!, 'given-up', 'orders');
      return told?.done === 2_000 && told.inAll === 2_000;
    });
    stop.abort(new Error('given up'));
    await expect(building).rejects.toThrow('given up');

    const mine = () => Promise.resolve();
    const remove = (attempt: string) => replaceByClosed(target, 'orders', fence, attempt, mine);
    await expect(remove('m-1')).rejects.toMatchObject({ codeName: 'BackgroundOperationInProgressForNamespace' });
    // Where the failpoint has it stand, the server does not look whether it is to end.
    const ended = endIndexBuilds(target, 'orders');
    await hang('off');
    await ended;
    await remove('m-2');
    expect(await indexBuilds(target, 'orders')).toEqual([]);
    expect((await target.collection('orders').indexes()).map(({ name }) => name)).toEqual(['_id_']);
    expect(await target.collection('orders').countDocuments()).toBe(0);
  });
});
