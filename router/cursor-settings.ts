import type { AbstractCursorOptions } from 'mongodb';
import { ReadPreference } from 'mongodb';
import { definedOf } from '../domain/defined.js';
import { ownReadConcern } from './own-read-concern.js';

/** As the driver's collections give them to their cursors, which take no name for a read preference. */
export function forCursor<O extends AbstractCursorOptions>(options: O): O {
  const readPreference = ReadPreference.fromOptions(options);
  return readPreference === undefined ? options : { ...options, readPreference };
}

/**
 * What a cursor of the driver was made with, and what its methods have changed since then.
 *
 * @param prefers whether the application has said where to read; otherwise that is for each node's client to say
 */
export function settingsOf<O extends AbstractCursorOptions>(
  made: O,
  { readPreference, readConcern, ...changed }: AbstractCursorOptions,
  prefers: boolean,
): O {
  return definedOf({
    ...made,
    ...definedOf(changed),
    ...ownReadConcern(readConcern),
    ...(prefers ? { readPreference } : {}),
  }) as O;
}
