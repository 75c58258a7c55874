import type { IngestionDocument } from '../catalog/ingestions.js';
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
 * Reads as far as it takes to know, and leaves the content there or at its beginning.
 */
export async function recognise(
  content: Content,
  candidatesFor: (first: Mark | undefined) => Promise<IngestionDocument[]>,
): Promise<Recognised> {
  const fingerprint = new Fingerprint();
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
  let candidates = known.filter(({ position }) => position > 0);
  while (candidates.length > 0) {
    const next = Math.min(...candidates.flatMap((each) => lengthsToCompare(each, fingerprint.length)));
    const isLonger = await readTo(next);
    const same = candidates.filter((each) => agrees(each, fingerprint));
    if (!isLonger) {
      // What is left of it lies between two marks of a longer one.
      const [ingestion] = same.filter(({ position }) => position > fingerprint.length);
      if (ingestion !== undefined && fingerprint.length >= FIRST_MARK) return { kind: 'shorter', ingestion };
      break;
    }
    const [reached] = same.filter(({ position }) => position === fingerprint.length);
    candidates = same.filter(({ position }) => position > fingerprint.length);
    if (reached !== undefined && candidates.length === 0) return { kind: 'continued', ingestion: reached, fingerprint };
  }
  await readTo(HEAD);
  await content.rewind();
  return {
    kind: 'new',
    known,
    head: fingerprint.marks.findLast(({ length }) => length <= HEAD)?.hash ?? fingerprint.current(),
  };
}

/** Where something of it is known beyond `length` bytes. */
const lengthsToCompare = ({ marks, position }: IngestionDocument, length: number): number[] =>
  [...marks.map((mark) => mark.length), position].filter((each) => each > length);

/** Whether all that is known of both, as far as the content was read, is the same. */
function agrees({ marks, position, positionHash }: IngestionDocument, content: Fingerprint): boolean {
  if (position === content.length && positionHash !== content.current()) return false;
  return content.marks.every((mark, i) => marks[i] === undefined || marks[i].hash === mark.hash);
}
