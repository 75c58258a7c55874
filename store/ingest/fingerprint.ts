import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';

/** Hash of the first `length` bytes of a content. */
export interface Mark {
  readonly length: number;
  readonly hash: string;
}

/** Marks are at powers of two, from this one on. */
export const FIRST_MARK = 16;

/**
 * Knows a content by its beginning: the hash of what has been read, and of its first 16, 32, 64, ... bytes, by which a longer or
 * shorter version of the same content is recognised.
 */
export class Fingerprint {
  private readonly hash: Hash = createHash('sha256');
  private readonly found: Mark[] = [];
  private bytes = 0;

  get length(): number {
    return this.bytes;
  }

  /** So far, shortest first. */
  get marks(): readonly Mark[] {
    return this.found;
  }

  update(content: Buffer): void {
    let rest = content;
    for (let mark = this.nextMark; this.bytes + rest.length >= mark; mark = this.nextMark) {
      const part = rest.subarray(0, mark - this.bytes);
      this.hash.update(part);
      this.bytes = mark;
      this.found.push({ length: mark, hash: this.current() });
      rest = rest.subarray(part.length);
    }
    this.hash.update(rest);
    this.bytes += rest.length;
  }

  /** The hash of all that has been read. */
  current(): string {
    return this.hash.copy().digest('base64url');
  }

  private get nextMark(): number {
    return this.found.length === 0 ? FIRST_MARK : 2 * this.found.at(-1)!.length;
  }
}
