import { DroverError } from '../domain/errors.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { isSharedOn } from '../domain/partition.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { KeptDefinitionDocument, MigrationDocument } from '../store/catalog/migrations.js';
import type { CollectionDefinition } from '../store/collection-definition.js';
import { definitionFromBson, definitionToBson, keptExpiries } from '../store/collection-definition.js';
import type { MoveContext } from './move-context.js';

/** What a migration's record keeps of the collection, and which collections it knows at its nodes. */
export interface KeptDefinition extends CollectionDefinition {
  readonly uuids: Readonly<Record<NodeName, string>>;
  /** After how many seconds documents are to expire by each index when it is suspended no longer. */
  readonly expiries: ReadonlyMap<string, number>;
  /** As it was read: it is changed only as long as nobody else has changed it. */
  readonly stored: KeptDefinitionDocument;
}

/** Of the migration, if it has noted any. */
export async function keptOf(catalog: Catalog, migration: string): Promise<KeptDefinition | undefined> {
  const record = await catalog.migrations.find(migration);
  return record && keptFrom(record);
}

/** The newest migration that has noted any of the partition's collection on a node, which others may be in. */
export async function lastKept(
  catalog: Catalog,
  partition: Partition,
  node: NodeName,
): Promise<{ readonly migration: string; readonly kept: KeptDefinition } | undefined> {
  const others = isSharedOn(partition, node) ? await catalog.partitions.sharing(partition) : [];
  const names = [partition, ...others].map(({ name }) => name);
  const record = await catalog.migrations.lastDefined(partition.keyspace, names, node);
  const kept = record && keptFrom(record);
  return kept && { migration: record._id, kept };
}

export const keptFrom = ({ source, target, definition }: MigrationDocument): KeptDefinition | undefined =>
  definition && keptIn(definition, source, target);

const keptIn = (stored: KeptDefinitionDocument, source: NodeName, target: NodeName): KeptDefinition => ({
  ...definitionFromBson(stored),
  uuids: { [source]: stored.source, [target]: stored.target },
  expiries: keptExpiries(stored),
  stored,
});

/**
 * What its indexes were suspended from is known anew.
 *
 * @param before what it was made from; undefined where nothing was noted yet
 * @throws DroverError `Superseded` when somebody else has changed it since, or the migration is over
 */
export async function keep(
  catalog: Catalog,
  { move: { migration, source, target } }: Pick<MoveContext, 'move'>,
  kept: CollectionDefinition & Pick<KeptDefinition, 'uuids'>,
  before: KeptDefinition | undefined,
): Promise<KeptDefinition> {
  const names = kept.indexes.map(({ name }) => name);
  const suspended = (before?.stored.suspended ?? []).filter(({ index }) => !names.includes(index));
  const uuids = { source: kept.uuids[source]!, target: kept.uuids[target]! };
  const next = { ...definitionToBson(kept), ...uuids, suspended, version: versionAfter(before) };
  await replace(catalog, migration, before, next, { state: 'running' });
  return keptIn(next, source, target);
}

/**
 * Before an index is suspended: after how many seconds documents expired by it, where somebody has changed that. Also of a
 * migration that is over.
 *
 * @throws DroverError `Superseded` when somebody else has changed it since
 */
export async function noteExpiry(
  catalog: Catalog,
  migration: string,
  before: KeptDefinition,
  index: string,
  seconds: number,
): Promise<KeptDefinition> {
  const { stored } = before;
  const others = (stored.suspended ?? []).filter((each) => each.index !== index);
  const next = { ...stored, suspended: [...others, { index, seconds }], version: versionAfter(before) };
  await replace(catalog, migration, before, next);
  return { ...before, expiries: keptExpiries(next), stored: next };
}

const versionAfter = (before: KeptDefinition | undefined): number => (before?.stored.version ?? 0) + 1;

/** Whoever sleeps between reading and writing, and is taken for dead, must not put back what was there before. */
async function replace(
  catalog: Catalog,
  migration: string,
  before: KeptDefinition | undefined,
  next: KeptDefinitionDocument,
  condition: Partial<Pick<MigrationDocument, 'state'>> = {},
): Promise<void> {
  if (await catalog.migrations.replaceDefinition(migration, before?.stored, next, condition)) return;
  throw new DroverError(
    'Superseded',
    `what migration ${migration} knows of its collection was changed by somebody else`,
  );
}
