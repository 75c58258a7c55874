/** What a document should be: the number of its last write, or absent. */
export type Expected = { readonly seq: number } | null;

interface Entry {
  readonly key: string;
  expected: Expected;
  /** A write whose outcome is not known: the document may be like this, too. */
  maybe: Expected | undefined;
}

export interface LedgerReport {
  readonly acknowledged: number;
  readonly failed: number;
  /** Acknowledged, and not there (or older than acknowledged). */
  readonly lost: number;
  /** Deleted with acknowledgement, and there. */
  readonly resurrected: number;
  /** Present more than once. */
  readonly duplicates: number;
  readonly examples: readonly string[];
}

export interface StoredDocument {
  readonly _id: string;
  readonly seq?: number;
}

/**
 * Keeps account of every write that the application was told had succeeded, and compares it with what is stored in the end.
 *
 * Each document has one writer at a time, which writes an ever higher `seq` into it; so what has to be there is known
 * exactly, up to writes that failed and may or may not have been done.
 */
export class Ledger {
  private readonly entries = new Map<string, Entry>();
  private acknowledged = 0;
  private failed = 0;

  get documents(): number {
    return this.entries.size;
  }

  expected(id: string): Expected {
    return this.entries.get(id)?.expected ?? null;
  }

  /** Runs a write after which the document should be as `next` says. Gives the error back, if there was one. */
  async write(id: string, key: string, next: Expected, request: () => Promise<unknown>): Promise<unknown> {
    const entry = this.entries.get(id) ?? { key, expected: null, maybe: undefined };
    this.entries.set(id, entry);
    try {
      await request();
      entry.expected = next;
      entry.maybe = undefined;
      this.acknowledged += 1;
      return undefined;
    } catch (error) {
      entry.maybe = next;
      this.failed += 1;
      return error;
    }
  }

  /** Takes over what is stored for documents whose last write has an unknown outcome, so that they can be written again. */
  settle(id: string, found: Expected): void {
    const entry = this.entries.get(id);
    if (entry === undefined || entry.maybe === undefined) return;
    entry.expected = found;
    entry.maybe = undefined;
  }

  isSettled(id: string): boolean {
    return this.entries.get(id)?.maybe === undefined;
  }

  /** Compares with every document stored anywhere (each node's share of it). */
  check(stored: Iterable<StoredDocument>): LedgerReport {
    const found = new Map<string, StoredDocument>();
    const examples: string[] = [];
    const report = { lost: 0, resurrected: 0, duplicates: 0 };
    const note = (what: keyof typeof report, id: string, detail: string) => {
      report[what] += 1;
      if (examples.length < 10) examples.push(`${what}: ${id} ${detail}`);
    };
    for (const document of stored) {
      if (found.has(document._id)) note('duplicates', document._id, 'is stored twice');
      found.set(document._id, document);
    }
    for (const [id, { expected, maybe }] of this.entries) {
      const seq = found.get(id)?.seq;
      const fits = (state: Expected | undefined) => state !== undefined && (state?.seq ?? undefined) === seq;
      if (fits(expected) || fits(maybe)) continue;
      const wanted = `expected ${JSON.stringify(expected)}, found ${seq === undefined ? 'nothing' : `seq ${seq}`}`;
      if (expected === null) note('resurrected', id, wanted);
      else note('lost', id, wanted);
    }
    return { acknowledged: this.acknowledged, failed: this.failed, ...report, examples };
  }
}
