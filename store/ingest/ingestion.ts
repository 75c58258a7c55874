import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { quoted } from '../../domain/access-log.js';
import { DroverError } from '../../domain/errors.js';
import type { AccessHistory } from '../catalog/access-history.js';
import type { EntityPairs } from '../catalog/entity-pairs.js';
import type { BadLineNote, IngestionDocument, IngestionProgress, Ingestions } from '../catalog/ingestions.js';
import { hasCounted } from '../catalog/ingestions.js';
import type { AccessBatch, Counted } from './access-batch.js';
import type { Content } from './content.js';
import { Fingerprint } from './fingerprint.js';
import type { LineReader, LineSink } from './log-lines.js';
import { NEWLINE } from './log-lines.js';
import type { Recognised } from './recognise.js';

/** A batch ends when it has so many records, or so many accesses: that bounds memory, and what a crash costs. */
const RECORDS = 4_096;
const ACCESSES = 1_000_000;
/** A log that is still being written is counted along, at this pace. */
const BATCH_MS = 5_000;
/** Bytes of a line. */
const LONGEST_LINE = 4 * 1024 * 1024;
/** Who does not renew it in time is thought dead. */
const LEASE_MS = 5_000;
const RENEW_MS = 1_000;
/** For a lease of somebody who is dead; one that is renewed outlasts it. */
const WAIT_MS = 2 * LEASE_MS;
const TRIES = 3;

export interface IngestionStores {
  readonly ingestions: Ingestions;
  readonly access: AccessHistory;
  readonly entityPairs: EntityPairs;
}

export interface IngestionOptions {
  readonly keyspace: string;
  readonly file: string;
  readonly settings: string;
  /** Bad lines that are told one by one; all are counted. */
  readonly badLinesShown: number;
  /** Reads the header, in a format that has one, given the first bytes of the content. */
  readonly header?: (firstLine: string) => string[];
  readonly readerFor: (columns: readonly string[] | undefined) => LineReader;
  readonly batch: AccessBatch;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly lines: number; readonly bad: number; readonly bytesRead: number }) => void;
  readonly onWait: (sentence: string) => void;
}

/** What one run did, and how things stand after it. */
export interface IngestionReport {
  readonly ingestion: IngestionDocument;
  /** As they are kept; those of this run with what they say. */
  readonly badLines: readonly BadLineNote[];
  /** Lines that had been counted before this run. */
  readonly linesBefore: number;
}

/**
 * Counts a log into the access history: as a stream, in constant memory, and each line once, however often it is begun.
 *
 * Lines are counted in batches, which bear a name. A batch is announced, its records are stored, then the position behind it is; what
 * there is of one that came no further is removed by its name: by the process itself, and by later runs for a day, as it may be stored
 * late. A name is used for one try only. One process at a time holds the ingestion's lease.
 */
export class Ingestion {
  private readonly holder = nanoid();
  private reader: LineReader | undefined;
  private fingerprint = new Fingerprint();
  private progress: IngestionProgress = NOTHING;
  private ingestion!: IngestionDocument;
  private renewedAt = 0;
  private flushedAt = performance.now();
  private writing: Promise<void> = Promise.resolve();
  private failure: unknown;
  private batches = 0;
  private told: BadLineNote[] = [];

  constructor(
    private readonly stores: IngestionStores,
    private readonly content: Content,
    private readonly options: IngestionOptions,
  ) {}

  /** @throws DroverError `Refused`, `InvalidRequest`; what was thrown by the signal */
  async run(recognised: Recognised): Promise<IngestionReport> {
    await this.begin(recognised);
    const linesBefore = recognised.kind === 'continued' ? this.progress.lines : 0;
    const renewal = setInterval(() => void this.renew().catch((error: unknown) => (this.failure ??= error)), RENEW_MS);
    try {
      await this.removeUncounted();
      await this.readAll();
      await this.flush(true);
      await this.writing;
      this.throwIfFailed();
      await this.removeUncounted();
      return { ingestion: { ...this.ingestion, ...this.progress }, badLines: this.told, linesBefore };
    } finally {
      clearInterval(renewal);
      // A batch under way is brought to its end: nobody has to wait for the lease then.
      await this.writing;
      await this.stores.ingestions.release(this.ingestion._id, this.holder);
    }
  }

  private async begin(recognised: Recognised): Promise<void> {
    const { ingestions } = this.stores;
    if (recognised.kind === 'shorter') throw new Error('nothing of it is left to count');
    if (recognised.kind === 'continued') {
      this.ingestion = await this.acquire(recognised.ingestion);
      this.fingerprint = recognised.fingerprint;
      const { position, positionHash } = this.ingestion;
      if (position !== this.fingerprint.length || positionHash !== this.fingerprint.current()) {
        await ingestions.release(this.ingestion._id, this.holder);
        throw new DroverError('Refused', 'another process has counted on meanwhile: run it again');
      }
      this.progress = this.ingestion;
      this.told = [...this.ingestion.badLines];
      this.reader = this.options.readerFor(this.ingestion.columns);
      return;
    }
    const { keyspace, file, settings } = this.options;
    const now = new Date();
    const columns = await this.readHeader();
    const { length: position, marks } = this.fingerprint;
    this.progress = {
      ...NOTHING,
      position,
      positionHash: this.fingerprint.current(),
      marks: [...marks],
      lines: columns === undefined ? 0 : 1,
    };
    this.reader = this.options.readerFor(columns);
    const begun: IngestionDocument = {
      _id: newId(keyspace, recognised),
      keyspace,
      file,
      settings,
      ...(columns === undefined ? {} : { columns }),
      ...this.progress,
      uncounted: [],
      startedAt: now,
      updatedAt: now,
    };
    await ingestions.insert(begun);
    // It may be there: of a process that has not come to store anything.
    this.ingestion = await this.acquire(begun);
    if (!(await ingestions.restart(begun, this.holder, { ...this.progress, file, settings }))) {
      await ingestions.release(begun._id, this.holder);
      throw new DroverError('Refused', 'another process has counted it meanwhile: run it again');
    }
  }

  private async acquire({ _id, file }: IngestionDocument): Promise<IngestionDocument> {
    const deadline = performance.now() + WAIT_MS;
    for (let told = false; ;) {
      this.options.signal.throwIfAborted();
      const asked = performance.now();
      const found = await this.stores.ingestions.acquire(_id, this.holder, LEASE_MS);
      if (found !== undefined) {
        this.renewedAt = asked;
        return found;
      }
      if (performance.now() > deadline) {
        throw new DroverError('Refused', `another process is ingesting ${file}: wait for its end, then run it again`);
      }
      if (!told) this.options.onWait('Another process is at it, or was a moment ago: waiting for it.');
      told = true;
      await delay(500);
    }
  }

  private async renew(): Promise<void> {
    const asked = performance.now();
    if (!(await this.stores.ingestions.renew(this.ingestion._id, this.holder, LEASE_MS))) throw superseded();
    this.renewedAt = asked;
  }

  /** The first line that is not blank; what comes after it is read next. */
  private async readHeader(): Promise<string[] | undefined> {
    const { header } = this.options;
    if (header === undefined) return undefined;
    let held = Buffer.alloc(0);
    while (!held.includes(NEWLINE)) {
      if (held.length > LONGEST_LINE)
        throw new DroverError('InvalidRequest', 'it does not begin with a line of columns');
      const bytes = await this.content.read();
      if (bytes === undefined) break;
      held = Buffer.concat([held, bytes]);
    }
    const end = held.indexOf(NEWLINE) + 1 || held.length;
    const columns = header(held.toString('utf8', 0, end));
    this.content.unread(held.subarray(end));
    this.fingerprint.update(held.subarray(0, end));
    return columns;
  }

  private async readAll(): Promise<void> {
    const { onProgress } = this.options;
    let rest = Buffer.alloc(0);
    let tooLong = false;
    /** A longer version goes on in the middle of a line that has been counted as it was. */
    let isRest = this.progress.openEnd;
    for (let bytes = await this.next(); bytes !== undefined; bytes = await this.next()) {
      let held = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      if (tooLong || isRest) {
        const end = held.indexOf(NEWLINE) + 1;
        const isGone = held.toString('latin1', 0, end || held.length).trim() !== '';
        if (isRest && isGone && end > 0) this.note(this.progress.lines, 'it has become longer since it was counted');
        this.pass(held.subarray(0, end || held.length), tooLong && end > 0 ? 1 : 0);
        held = held.subarray(end || held.length);
        if (end > 0) {
          tooLong = isRest = false;
          this.progress = { ...this.progress, openEnd: false };
        }
      }
      const whole = tooLong || isRest ? 0 : this.reader!.wholeRecords(held, rest.length);
      if (whole > 0) this.count(held.subarray(0, whole));
      rest = Buffer.from(held.subarray(whole));
      if (rest.length > LONGEST_LINE) {
        this.note(this.progress.lines + 1, `it is longer than ${LONGEST_LINE / 1024 / 1024} MB`);
        this.pass(rest, 0);
        rest = Buffer.alloc(0);
        tooLong = true;
      }
      const { batch } = this.options;
      const isOld = performance.now() - this.flushedAt > BATCH_MS;
      if (isOld || batch.size >= RECORDS || batch.accesses >= ACCESSES) await this.flush();
      onProgress({ lines: this.progress.lines, bad: this.progress.bad, bytesRead: this.content.bytesRead });
    }
    this.progress = { ...this.progress, openEnd: rest.length > 0 || tooLong || isRest };
    if (rest.length > 0) this.count(rest);
    if (tooLong) this.pass(Buffer.alloc(0), 1);
  }

  private async next(): Promise<Buffer | undefined> {
    this.options.signal.throwIfAborted();
    this.throwIfFailed();
    const { signal } = this.options;
    const read = new AbortController();
    // A listener of its own, removed at its end: one that outlives the reads would keep what each of them has read.
    const aborted = once(signal, 'abort', { signal: read.signal }).then(() => signal.throwIfAborted());
    aborted.catch(() => undefined);
    try {
      return (await Promise.race([this.content.read(), aborted])) ?? undefined;
    } finally {
      read.abort();
    }
  }

  private count(bytes: Buffer): void {
    const { batch } = this.options;
    const sink: LineSink = {
      count: (values) => batch.count(values),
      bad: (line, reason, value) => this.note(line, reason, value),
    };
    const lines = this.reader!.read(bytes.toString('utf8'), this.progress.lines + 1, sink);
    this.pass(bytes, lines);
  }

  /** @param value what the line says there; of keys and clients nothing is kept in the catalog */
  private note(line: number, reason: string, value?: unknown): void {
    const { bad, badLines } = this.progress;
    const isTold = badLines.length < this.options.badLinesShown;
    this.progress = { ...this.progress, bad: bad + 1, badLines: isTold ? [...badLines, { line, reason }] : badLines };
    if (isTold) this.told.push({ line, reason: value === undefined ? reason : `${reason}: ${quoted(value)}` });
  }

  private pass(bytes: Buffer, lines: number): void {
    this.fingerprint.update(bytes);
    this.progress = { ...this.progress, lines: this.progress.lines + lines };
  }

  /** Has what was counted stored, while reading goes on. */
  private async flush(isEnd = false): Promise<void> {
    await this.writing;
    this.throwIfFailed();
    this.flushedAt = performance.now();
    const counted = this.options.batch.take(isEnd);
    const { records, accesses, skipped, from, to } = counted;
    const before = this.progress;
    const { length: position, marks } = this.fingerprint;
    const progress: IngestionProgress = {
      position,
      positionHash: this.fingerprint.current(),
      marks: [...marks],
      openEnd: before.openEnd,
      lines: before.lines,
      bad: before.bad,
      badLines: before.badLines,
      accesses: before.accesses + accesses,
      skipped: before.skipped + skipped,
      records: before.records + records.length,
      ...(accesses === 0 ? spanOf(before) : spanOf(before, from, to)),
    };
    this.progress = progress;
    this.writing = this.store(counted, progress).catch((error: unknown) => void (this.failure ??= error));
  }

  private async store({ records, use }: Counted, progress: IngestionProgress): Promise<void> {
    const { ingestions, access, entityPairs } = this.stores;
    const { _id } = this.ingestion;
    const { file, settings } = this.options;
    for (let tries = 1; ; tries++) {
      // One that was asleep for that long may be thought dead.
      if (performance.now() - this.renewedAt > LEASE_MS) await this.renew();
      // Of a try whose outcome is not known, records may be stored later on: the next one has another name.
      const batch = `${this.holder}/${++this.batches}`;
      if (!(await ingestions.beginBatch(_id, this.holder, batch))) throw superseded();
      try {
        // Copies are records of their own: those of an earlier try may be there, or come.
        await access.append(tries === 1 ? records : records.map((record) => ({ ...record })), batch);
        await entityPairs.put(use, batch);
      } catch (error) {
        if (tries === TRIES) throw error;
        await this.removeBatch(batch);
        continue;
      }
      if (await ingestions.endBatch(_id, this.holder, batch, { ...progress, file, settings })) return;
      // Whoever took over may have looked before they were stored.
      await this.removeBatch(batch);
      throw superseded();
    }
  }

  private async removeUncounted(): Promise<void> {
    const { ingestions } = this.stores;
    const { keyspace } = this.options;
    const batches = await ingestions.uncounted(keyspace, this.ingestion._id);
    for (const { batch } of batches) await this.removeBatch(batch);
    await ingestions.forget(keyspace, batches);
  }

  private async removeBatch(batch: string): Promise<void> {
    const { access, entityPairs } = this.stores;
    await Promise.all([access.removeBatch(batch), entityPairs.remove(batch)]);
  }

  private throwIfFailed(): void {
    if (this.failure !== undefined) throw this.failure as Error;
  }
}

const NOTHING: IngestionProgress = {
  position: 0,
  positionHash: '',
  marks: [],
  openEnd: false,
  lines: 0,
  accesses: 0,
  skipped: 0,
  bad: 0,
  badLines: [],
  records: 0,
};

function spanOf({ from, to }: IngestionProgress, first = Infinity, last = -Infinity) {
  const least = Math.min(first, from?.getTime() ?? Infinity);
  const most = Math.max(last, to?.getTime() ?? -Infinity);
  return Number.isFinite(least) ? { from: new Date(least), to: new Date(most) } : {};
}

/** Others begin like it, and then differ; one of which nothing was counted may be this one. */
function newId(keyspace: string, { head, known }: Extract<Recognised, { kind: 'new' }>): string {
  const taken = new Set(known.filter(hasCounted).map(({ _id }) => _id));
  const first = `${keyspace}/${head}`;
  let id = first;
  for (let twin = 1; taken.has(id); twin++) id = `${first}/${twin}`;
  return id;
}

const superseded = () =>
  new DroverError('Superseded', 'another process has taken the ingestion over: run it again when that one has ended');
