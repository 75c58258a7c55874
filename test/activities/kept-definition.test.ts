import { describe, expect, it } from 'vitest';
import { keep, keptOf, noteExpiry } from '../../activities/kept-definition.js';
import type { CollectionDefinition } from '../../store/collection-definition.js';
import { rawOptions } from '../../store/collection-definition.js';
import { record, useNodes } from './nodes.js';

/** An attempt that sleeps between what it reads and what it writes wakes up when another one has gone on. */
describe('what a migration keeps of its collection', () => {
  const the = useNodes();
  const context = (migration: string) => ({
    move: { migration, keyspace: 'shop.parcels', partition: 'p0', source: 'n0', target: 'n1' },
  });
  const definition = (...names: string[]): CollectionDefinition => ({
    options: new Map(),
    indexes: names.map((name) => ({ name, options: rawOptions({ name, key: { [name]: 1 }, expireAfterSeconds: 60 }) })),
  });
  const uuids = { n0: 'a', n1: 'b' };
  const stored = async (migration: string) => {
    const kept = (await keptOf(the.catalog, migration))!;
    return { indexes: kept.indexes.map(({ name }) => name), expiries: [...kept.expiries] };
  };

  it('is not put back by an attempt that had read what was there before', async () => {
    const { catalog } = the;
    await catalog.migrations.insert(record('late'));
    const late = async (...names: string[]) =>
      keep(catalog, context('late'), { ...definition(...names), uuids }, before);
    let before: Awaited<ReturnType<typeof keptOf>>;
    await late('first');
    // Who was the first one, too.
    await expect(late('zombie')).rejects.toMatchObject({ code: 'Superseded' });

    before = await keptOf(catalog, 'late');
    await keep(catalog, context('late'), { ...definition('first', 'second'), uuids }, await keptOf(catalog, 'late'));
    await expect(late('zombie')).rejects.toMatchObject({ code: 'Superseded' });
    expect((await stored('late')).indexes).toEqual(['first', 'second']);

    const asleep = (await keptOf(catalog, 'late'))!;
    await noteExpiry(catalog, 'late', asleep, 'second', 7_200);
    await expect(noteExpiry(catalog, 'late', asleep, 'second', 60)).rejects.toMatchObject({ code: 'Superseded' });
    before = asleep;
    await expect(late('zombie')).rejects.toMatchObject({ code: 'Superseded' });
    const expiries = [['first', 60], ['second', 7_200]]; // prettier-ignore
    expect(await stored('late')).toEqual({ indexes: ['first', 'second'], expiries });
  });

  it('is not changed when the migration is over, but for what the janitor suspends', async () => {
    const { catalog } = the;
    await catalog.migrations.insert(record('over'));
    const kept = await keep(catalog, context('over'), { ...definition('first'), uuids }, undefined);
    await catalog.migrations.end('over', { state: 'completed' });
    const late = keep(catalog, context('over'), { ...definition('zombie'), uuids }, kept);
    await expect(late).rejects.toMatchObject({ code: 'Superseded' });
    await noteExpiry(catalog, 'over', kept, 'first', 600);
    expect(await stored('over')).toEqual({ indexes: ['first'], expiries: [['first', 600]] });
  });

  it('of a migration that began before versions were kept is changed, once', async () => {
    const { catalog } = the;
    await catalog.migrations.insert(record('old'));
    await keep(catalog, context('old'), { ...definition('first'), uuids }, undefined);
    await catalog.migrations.update('old', { $unset: { 'definition.version': 1 } });
    const before = (await keptOf(catalog, 'old'))!;
    await noteExpiry(catalog, 'old', before, 'first', 600);
    await expect(noteExpiry(catalog, 'old', before, 'first', 60)).rejects.toMatchObject({ code: 'Superseded' });
  });
});
