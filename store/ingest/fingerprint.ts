import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { NEWLINE } from './log-lines.js';

/** Hash of the first `length` bytes of a content. */
export interface Mark {
  readonly length: number;
  readonly hash: string;
}

export const FIRST_MARK = 16;
/** From there on there are so many marks to each doubling of the length. */
const DENSE_FROM = 128;
const MARKS_PER_DOUBLING = 8;
/** Beside those, the ends of the first lines are marked: a short content may be a header and little more. */
const LINES_MARKED = 16;

/**
 * Knows a content by its beginning: the hash of what has been read, and of its beginnings of certain lengths, by which a longer or
 * shorter version of the same content is recognised. Equal contents have equal marks.
 */
export class Fingerprint {
  private readonly hash: Hash = createHash('sha256');
  private readonly found: Mark[] = [];
  private bytes = 0;
  private lineEnds = 0;
  private nextLength = FIRST_MARK;

  get length(): number {
    return this.bytes;
  }

  /** So far, shortest first. */
  get marks(): readonly Mark[] {
    return this.found;
  }

  /**
   * Whether a content that ends here, and has all its marks in common with another one, is the beginning of that one: but for an eighth
   * of it at most where it is long; a short one to the last byte.
   */
  get isMarkedToItsEnd(): boolean {
    return this.lineEnds >= LINES_MARKED || this.found.at(-1)?.length === this.bytes;
  }

  update(content: Buffer): void {
    let rest = content;
    for (;;) {
      const newline = this.lineEnds < LINES_MARKED ? rest.indexOf(NEWLINE) : -1;
      const toMark = this.nextLength - this.bytes;
      const part = rest.subarray(0, newline < 0 ? toMark : Math.min(toMark, newline + 1));
      this.hash.update(part);
      this.bytes += part.length;
      rest = rest.subarray(part.length);
      const isLineEnd = newline >= 0 && part.length === newline + 1;
      if (isLineEnd) this.lineEnds += 1;
      const isMark = this.bytes === this.nextLength || (isLineEnd && this.bytes > FIRST_MARK);
      if (isMark) this.found.push({ length: this.bytes, hash: this.current() });
      if (this.bytes === this.nextLength) this.nextLength = markAfter(this.bytes);
      if (rest.length === 0) return;
    }
  }

  /** The hash of all that has been read. */
  current(): string {
    return this.hash.copy().digest('base64url');
  }
}

/** Of the lengths that are marked whatever is in them; powers of two are among them. */
function markAfter(length: number): number {
  if (length < DENSE_FROM) return 2 * length;
  return length + 2 ** Math.floor(Math.log2(length)) / MARKS_PER_DOUBLING;
}
