import type { Document } from 'mongodb';
import { BSON } from 'mongodb';

/** So many bytes of documents are all measured in an interval; of the later ones one document in {@link ONE_IN}. */
const ALL_OF = 32_768;
/** What measuring a document counts as, at least: also small ones take time. */
const LEAST = 128;
const ONE_IN = 16;

/**
 * Estimates how many bytes of BSON documents are: the driver has encoded or decoded them by itself, and measuring each again would
 * take a good part of that time once more. So the first ones of an interval are measured, then one of every sixteen, each of them as
 * likely, which counts sixteen times.
 *
 * Whatever the sizes are and in whatever order they come, the sum of the estimates is the sum of the sizes on average. Of n later
 * documents of a partition it is off by about 4/sqrt(n) of it (standard deviation; times the root mean square of the sizes over their
 * mean): 13 % after a thousand, 1 % after 160,000.
 */
export class SampledSizes {
  /** Bytes that are left to be measured as they come. */
  private left = ALL_OF;
  /** Documents until the next one that is measured, and those after it that belong to the same sixteen. */
  private before = 0;
  private behind = 0;

  /** @param random in [0, 1) */
  constructor(private readonly random: () => number) {
    this.draw();
  }

  /** Another interval begins. */
  begin(): void {
    this.left = ALL_OF;
  }

  /** @param documents one, or a list of them; anything else is 0 bytes */
  of(documents: unknown): number {
    if (Array.isArray(documents)) return this.ofAll(documents);
    if (typeof documents !== 'object' || documents === null) return 0;
    if (this.left > 0) return this.measured(documents);
    if (this.before > 0) {
      this.before -= 1;
      return 0;
    }
    this.draw();
    return ONE_IN * sizeOf(documents);
  }

  private ofAll(documents: readonly unknown[]): number {
    let bytes = 0;
    let at = 0;
    for (; this.left > 0 && at < documents.length; at++) bytes += this.measured(documents[at]);
    for (; this.before < documents.length - at; this.draw()) {
      at += this.before;
      bytes += ONE_IN * sizeOf(documents[at]);
      at += 1;
    }
    this.before -= documents.length - at;
    return bytes;
  }

  private measured(document: unknown): number {
    const size = sizeOf(document);
    this.left -= Math.max(size, LEAST);
    return size;
  }

  /** Chooses one of the next sixteen. */
  private draw(): void {
    const place = Math.floor(this.random() * ONE_IN);
    this.before = this.behind + place;
    this.behind = ONE_IN - 1 - place;
  }
}

function sizeOf(document: unknown): number {
  if (document instanceof Uint8Array) return document.length;
  try {
    return BSON.calculateObjectSize(document as Document);
  } catch {
    // Whatever it is: the application is told by who sends it, not by who counts it.
    return 0;
  }
}
