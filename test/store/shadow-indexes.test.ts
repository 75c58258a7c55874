import { describe, expect, it } from 'vitest';
import { connect } from '../../store/connect.js';
import { indexBuilds } from '../../store/gates.js';
import { buildIndexes, indexesToCopy } from '../../store/shadow-indexes.js';
import { until, useServers } from './servers.js';

const { clients, uris } = useServers(2, ['--setParameter', 'enableTestCommands=1']);

describe('the indexes of a copy', () => {
  it('are built once, also when the worker that had begun is gone in the middle', async () => {
    const [source, target] = clients.map((client) => client.db('shop'));
    await source!.collection('orders').createIndexes([{ key: { a: 1 } }, { key: { b: -1 }, sparse: true }]);
    await source!.collection('orders').createIndex({ c: 1 }, { unique: true });
    await target!.collection('orders').insertMany(Array.from({ length: 1_000 }, (_, i) => ({ a: i, b: i, c: i })));
    const { unique, others } = await indexesToCopy(source!, 'orders');
    expect(unique.map(({ name }) => name)).toEqual(['c_1']);
    expect(others.map(({ name }) => name)).toEqual(['a_1', 'b_-1']);

    const hang = (mode: 'alwaysOn' | 'off') =>
      clients[1]!.db('admin').command({ configureFailPoint: 'hangAfterStartingIndexBuild', mode });
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
});
