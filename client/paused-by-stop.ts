import type { Catalog } from '../store/catalog/catalog.js';
import type { MigrationDocument } from '../store/catalog/migrations.js';

/**
 * A mark on the record of a migration that `stop` paused: `start` resumes these alone, and what a person paused stays
 * paused. It is written before the pause, as one without a mark would never be resumed.
 */
export const isPausedByStop = (migration: MigrationDocument): boolean =>
  (migration as { pausedByStop?: boolean }).pausedByStop === true;

export const markPausedByStop = (catalog: Catalog, migration: string): Promise<void> =>
  catalog.migrations.update(migration, { $set: { pausedByStop: true } });

export const clearPausedByStop = (catalog: Catalog, migration: string): Promise<void> =>
  catalog.migrations.update(migration, { $unset: { pausedByStop: '' } });
