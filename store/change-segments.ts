import type { Direction } from '../domain/partition.js';
import type { Change } from './change-log.js';
import type { MarkerDocument } from './checkpoint.js';
import { MARKERS } from './checkpoint.js';

/** Changes up to and including a marker of this migration: the scope changes only between segments. */
export interface Segment {
  readonly changes: Change[];
  marker?: MarkerDocument;
}

/** @returns one at least; only the last one has no marker */
export function segmentsOf(
  changes: Iterable<Change>,
  { migration, direction }: { readonly migration: string; readonly direction: Direction },
): Segment[] {
  const segments: Segment[] = [{ changes: [] }];
  for (const change of changes) {
    if (change.collection !== MARKERS) {
      segments.at(-1)!.changes.push(change);
      continue;
    }
    const marker = change.operationType === 'insert' ? (change.document as MarkerDocument) : undefined;
    if (marker?.migration === migration && marker.direction === direction) {
      segments.at(-1)!.marker = marker;
      segments.push({ changes: [] });
    }
  }
  return segments;
}
