import type { IngestionDocument } from '../catalog/ingestions.js';
import { hasCounted } from '../catalog/ingestions.js';
import type { Content } from './content.js';
import type { Mark } from './fingerprint.js';
import { Fingerprint, FIRST_MARK } from './fingerprint.js';

export type Recognised =
  /** Nothing of it has been counted; reading begins anew. */
  | { readonly kind: 'new'; readonly known: readonly IngestionDocument[]; readonly head: string }
  /** It goes on behind what has been counted; that has been read. */
  | { readonly kind: 'continued'; readonly ingestion: IngestionDocument; readonly fingerprint: Fingerprint }
  /** A longer version of it has been counted. */
  | { readonly kind: 'shorter'; readonly ingestion: IngestionDocument };

/** Of what is new, so many bytes name it. */
const HEAD = 64 * 1024;

/**
 * Finds out whether a content, or the beginning of it, has been ingested: by the hashes of its beginning, all of which have to agree.
 * What has been read without anything to count, as with options that did not fit, has not been ingested.
 *
 * Reads as far as it takes to know, and leaves the content there or at its beginning.
 */
export async function recognise(
  content: Content,
  candidatesFor: (first: Mark | undefined) => Promise<IngestionDocument[]>,
): Promise<Recognised> {
  let fingerprint = new Fingerprint();
  /** @returns false at the end of the content */
  const readTo = async (length: number): Promise<boolean> => {
    while (fingerprint.length < length) {
      const bytes = await content.read();
      if (bytes === undefined) return false;
      const wanted = length - fingerprint.length;
      fingerprint.update(bytes.subarray(0, wanted));
      content.unread(bytes.subarray(wanted));
    }
    return true;
  };

  await readTo(FIRST_MARK);
  const known = await candidatesFor(fingerprint.marks[0]);
  let candidates = known.filter((each) => each.position > 0 && hasCounted(each));
  let reached: IngestionDocument | undefined;
  while (candidates.length > 0) {
    const next = Math.min(...candidates.map((each) => nextToCompare(each, fingerprint.length)));
    const isLonger = await readTo(next);
    const same = candidates.filter((each) => agrees(each, fingerprint));
    if (!isLonger) {
      const ingestion = same.find((each) => each.position > fingerprint.length && hasMarks(each, fingerprint));
      if (ingestion !== undefined && fingerprint.isMarkedToItsEnd) return { kind: 'shorter', ingestion };
      break;
    }
    reached = same.find(({ position }) => position === fingerprint.length) ?? reached;
    candidates = same.filter(({ position }) => position > fingerprint.length);
    if (reached?.position === fingerprint.length && candidates.length === 0) {
      return { kind: 'continued', ingestion: reached, fingerprint };
    }
  }
  if (reached !== undefined) {
    // A longer one was like it for a while.
    await content.rewind();
    fingerprint = new Fingerprint();
    await readTo(reached.position);
    return { kind: 'continued', ingestion: reached, fingerprint };
  }
  await readTo(HEAD);
  await content.rewind();
  return {
    kind: 'new',
    known,
    head: fingerprint.marks.findLast(({ length }) => length <= HEAD)?.hash ?? fingerprint.current(),
  };
}

/** The next length at which something of it is known. */
const nextToCompare = ({ marks, position }: IngestionDocument, length: number): number =>
  marks.find((mark) => mark.length > length)?.length ?? position;

/** Whether all that is known of the ingestion, as far as the content was read, is true of the content. */
function agrees({ marks, position, positionHash }: IngestionDocument, content: Fingerprint): boolean {
  if (position === content.length && positionHash !== content.current()) return false;
  const hashes = new Map(content.marks.map(({ length, hash }) => [length, hash]));
  return marks.every(({ length, hash }) => length > content.length || hashes.get(length) === hash);
}

/** Whether all that is known of the content is true of the ingestion. */
function hasMarks({ marks }: IngestionDocument, content: Fingerprint): boolean {
  const hashes = new Map(marks.map(({ length, hash }) => [length, hash]));
  return content.marks.every(({ length, hash }) => hashes.get(length) === hash);
}
