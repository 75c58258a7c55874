import { afterEach, describe, expect, it, vi } from 'vitest';
import { enter } from '../../client/adoption.js';
import type { ControlContext } from '../../client/context.js';
import { releaseKeyspace } from '../../client/release.js';
import { DroverError } from '../../domain/errors.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { createFenced } from '../../store/fenced-collection.js';
import { gatesOf, makeGates, newGates } from '../../store/gates.js';
import { half, KEYSPACE, keyspaceDocument, useNodes } from '../activities/nodes.js';

/** Who adopts or releases a collection may sleep until others have gone on, and a partition of it moves. */
describe('the gates of a migration', () => {
  const the = useNodes();
  const gates = newGates('p0', 1);
  const present = async () => (await gatesOf(await the.db('n0'), 'parcels')).map(({ name }) => name).sort();
  const everything = { keyField: 'customerId', accepted: [{ low: TOKEN_MIN, high: TOKEN_END }] };

  afterEach(async () => {
    vi.restoreAllMocks();
    await the.catalog['client'].db('drover').dropDatabase();
    await (await the.db('n0')).dropDatabase();
  });

  it('stay when an adoption or a release begins too late', async () => {
    const db = await the.db('n0');
    await createFenced(db, 'parcels', everything);
    await makeGates(db, 'parcels', gates);
    const late = enter(db, 'parcels', () => Promise.reject(new DroverError('Superseded', 'somebody has gone on')));
    await expect(late).rejects.toMatchObject({ code: 'Superseded' });
    expect(await present()).toEqual(gates.toSorted());
  });

  it('stay when a release comes to its end too late', async () => {
    const db = await the.db('n0');
    const shared = { node: 'n0', collection: 'parcels' };
    await createFenced(db, 'parcels', everything);
    await the.catalog.addKeyspace(keyspaceDocument(), [half('p0', { shared }), half('p1', { shared })]);
    const { keyspaces } = the.catalog;
    const find = keyspaces.find.bind(keyspaces);
    // Its own gate is there; while it sleeps another one releases the keyspace, and somebody adopts it anew.
    vi.spyOn(keyspaces, 'find').mockImplementation(async (name) => {
      const found = await find(name);
      if (found?.releasing === undefined) return found;
      await keyspaces.removeReleased(found);
      await makeGates(db, 'parcels', gates);
      return found;
    });
    const context = { catalog: the.catalog, nodes: the.dependencies().nodes } as ControlContext;
    await expect(releaseKeyspace(context, KEYSPACE)).rejects.toMatchObject({ code: 'Superseded' });
    expect(await present()).toEqual(gates.toSorted());
  });
});
