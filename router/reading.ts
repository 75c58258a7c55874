import type { Collection, FindOptions } from 'mongodb';
import { MongoInvalidArgumentError, ReadConcern, ReadPreference } from 'mongodb';

/** Reads may go to a copy that is nearer than the owner. */
export interface NearestReads {
  /** What was acknowledged longer ago than this before a read was sent, the read sees; milliseconds. */
  readonly maxStalenessMS: number;
}

/** What is to be known of a read to choose where it goes. */
export interface Reading extends Pick<FindOptions, 'readPreference' | 'readConcern'> {
  readonly nearest?: NearestReads | false | undefined;
}

export const readingOf = (
  { readPreference, readConcern }: Pick<FindOptions, 'readPreference' | 'readConcern'>,
  nearest: NearestReads | false | undefined,
): Reading => ({
  ...(readPreference === undefined ? {} : { readPreference }),
  ...(readConcern === undefined ? {} : { readConcern }),
  nearest,
});

/** @throws MongoInvalidArgumentError */
export function checkNearest(nearest: NearestReads | false | undefined): void {
  if (nearest === undefined || nearest === false) return;
  const most: unknown = (nearest as Partial<NearestReads> | null)?.maxStalenessMS;
  if (typeof most !== 'number' || !(most > 0)) {
    throw new MongoInvalidArgumentError(
      '"nearest" must be { maxStalenessMS } with a number of milliseconds above 0, or false',
    );
  }
}

/** Whether a read is known to be answered by the primary with all that it has, so that nothing there can be missing. */
export function isOfPrimary(collection: Collection, reading: Reading | undefined): boolean {
  if (reading === undefined) return false;
  const preference = ReadPreference.fromOptions(reading) ?? collection.readPreference;
  const level = ReadConcern.fromOptions(reading)?.level ?? collection.readConcern?.level ?? 'local';
  return (preference?.mode ?? 'primary') === 'primary' && (level === 'local' || level === 'available');
}
