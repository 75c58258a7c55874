import type { NodeName, Partition } from '../domain/partition.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { MigrationDocument } from '../store/catalog/migrations.js';
import type { CollectionDefinition } from '../store/collection-definition.js';
import { definitionFromBson, definitionToBson, keptExpiries } from '../store/collection-definition.js';
import type { MoveContext } from './move-context.js';

/** What a migration's record keeps of the collection, and which collections it knows at its nodes. */
export interface KeptDefinition extends CollectionDefinition {
  readonly uuids: Readonly<Record<NodeName, string>>;
  /** After how many seconds documents are to expire by each index when it is suspended no longer. */
  readonly expiries: ReadonlyMap<string, number>;
}

/** Of the migration, if it has noted any. */
export async function keptOf(catalog: Catalog, migration: string): Promise<KeptDefinition | undefined> {
  const record = await catalog.migrations.find(migration);
  return record && keptFrom(record);
}

/** The newest migration of a partition that has noted any. */
export async function lastKept(
  catalog: Catalog,
  { keyspace, name }: Partition,
): Promise<{ readonly migration: string; readonly kept: KeptDefinition } | undefined> {
  const record = await catalog.migrations.lastDefined(keyspace, name);
  const kept = record && keptFrom(record);
  return kept && { migration: record._id, kept };
}

const keptFrom = ({ source, target, definition }: MigrationDocument): KeptDefinition | undefined =>
  definition && {
    ...definitionFromBson(definition),
    uuids: { [source]: definition.source, [target]: definition.target },
    expiries: keptExpiries(definition),
  };

/** What its indexes were suspended from is known anew. */
export async function keep(
  catalog: Catalog,
  { move: { migration, source, target } }: MoveContext,
  kept: Omit<KeptDefinition, 'expiries'>,
): Promise<void> {
  const { options, indexes } = definitionToBson(kept);
  await catalog.migrations.update(migration, {
    $set: {
      'definition.options': options,
      'definition.indexes': indexes,
      'definition.source': kept.uuids[source]!,
      'definition.target': kept.uuids[target]!,
    },
    $pull: { 'definition.suspended': { index: { $in: kept.indexes.map(({ name }) => name) } } },
  });
}

/** Before an index is suspended: after how many seconds documents expired by it, where somebody has changed that. */
export async function noteExpiry(catalog: Catalog, migration: string, index: string, seconds: number): Promise<void> {
  await catalog.migrations.update(migration, { $pull: { 'definition.suspended': { index } } });
  await catalog.migrations.update(migration, { $push: { 'definition.suspended': { index, seconds } } });
}
