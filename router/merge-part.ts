import type { Document } from 'mongodb';
import { bytesOf } from '../store/raw-documents.js';
import type { Batches } from './batches.js';
import { Window } from './batches.js';
import { Chunks, collected, Preceded } from './chunks.js';
import type { MergeServer } from './merge-server.js';
import { MOST_BYTES } from './merge-server.js';
import { Merged } from './merge.js';
import type { Accumulation } from './partial-group.js';
import { tooLarge } from './results.js';
import type { KeyOrder } from './sort-key.js';
import { keysBy, setKey } from './sort-key.js';
import type { MergeStep } from './split-pipeline.js';

/** What a sort may hold in memory here. */
const SORT_BYTES = 100_000_000;
/** Sorted chunks that are kept side by side when only their first documents matter. */
const MOST_RUNS = 8;

export interface MergeLimits {
  /** Up to so many bytes one server does all of it at once. */
  readonly atOnceBytes: number;
  /** More is worked on in chunks of so many. */
  readonly chunkBytes: number;
}

/** The steps of a split pipeline that come after the nodes' part, on what these have sent. */
export class MergePart implements Batches<Uint8Array> {
  static readonly limits: MergeLimits = { atOnceBytes: 8_000_000, chunkBytes: 4_000_000 };
  private output: Batches<Uint8Array> | undefined;

  constructor(
    private readonly input: Batches<Uint8Array>,
    private readonly steps: readonly MergeStep[],
    private readonly server: MergeServer,
  ) {}

  async next(): Promise<Uint8Array[] | null> {
    this.output ??= await this.begin();
    return this.output.next();
  }

  async close(): Promise<void> {
    await Promise.all([this.input.close(), this.output?.close()]);
  }

  private async begin(): Promise<Batches<Uint8Array>> {
    const { input, steps, server } = this;
    const { limits } = MergePart;
    const last = steps.at(-1);
    // Before many documents are read for nothing: whether the server takes what is not known here.
    if (last?.kind === 'whole') await collected(server.run([], last.stages));
    const first: Uint8Array[] = [];
    for (let bytes = 0; bytes <= limits.atOnceBytes;) {
      const batch = await input.next();
      if (batch === null) {
        const all = steps.flatMap(({ stages }) => stages);
        return server.run(first, all);
      }
      for (const each of batch) first.push(each);
      bytes += bytesOf(batch);
    }
    return steps.reduce<Batches<Uint8Array>>((batches, step) => this.after(batches, step), new Preceded(first, input));
  }

  private after(batches: Batches<Uint8Array>, step: MergeStep): Batches<Uint8Array> {
    const { server } = this;
    const { limits } = MergePart;
    switch (step.kind) {
      case 'window':
        return new Window(batches, step.skip, step.limit);
      case 'each':
        return new ChunkByChunk(new Chunks(batches, limits.chunkBytes), server, step.stages);
      case 'fold': {
        const { order, accumulation, stages } = step;
        if (order !== undefined) {
          return new ChunkByChunk(new Chunks(batches, limits.chunkBytes, keysBy(order)), server, stages);
        }
        return new Later(batches, () => grouped(new Chunks(batches, limits.chunkBytes), server, accumulation));
      }
      case 'group':
        return new Later(batches, () =>
          grouped(new Chunks(batches, limits.chunkBytes), server, step.accumulation, step.partial),
        );
      case 'sort': {
        const { order, limit, stages } = step;
        return new Later(batches, async () =>
          order === undefined
            ? new Window(server.run(await upTo(MOST_BYTES, batches, stages), stages), 0, limit)
            : sorted(new Chunks(batches, limits.chunkBytes), server, stages, order, limit),
        );
      }
      case 'whole':
        return new Later(batches, async () => server.run(await upTo(MOST_BYTES, batches, step.stages), step.stages));
    }
  }
}

/** Stages on one chunk after the other. */
class ChunkByChunk implements Batches<Uint8Array> {
  private current: Batches<Uint8Array> | undefined;

  constructor(
    private readonly chunks: Chunks,
    private readonly server: MergeServer,
    private readonly stages: readonly Document[],
  ) {}

  async next(): Promise<Uint8Array[] | null> {
    for (;;) {
      const batch = await this.current?.next();
      if (batch != null) return batch;
      const chunk = await this.chunks.next();
      if (chunk === null) return null;
      this.current = this.server.run(chunk, this.stages);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.chunks.close(), this.current?.close()]);
  }
}

/** What can be told only once all documents before it are there. */
class Later implements Batches<Uint8Array> {
  private made: Batches<Uint8Array> | undefined;

  constructor(
    private readonly input: Batches<Uint8Array>,
    private readonly make: () => Promise<Batches<Uint8Array>>,
  ) {}

  async next(): Promise<Uint8Array[] | null> {
    this.made ??= await this.make();
    return this.made.next();
  }

  async close(): Promise<void> {
    await Promise.all([this.input.close(), this.made?.close()]);
  }
}

/** Groups of documents, or of partial groups, in their order: what is held at once are the groups and a chunk. */
async function grouped(
  chunks: Chunks,
  server: MergeServer,
  { fold, final }: Accumulation,
  partial?: Document,
): Promise<Batches<Uint8Array>> {
  let groups: Uint8Array[] = [];
  for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next()) {
    const more = partial === undefined ? chunk : await collected(server.run(chunk, [partial]));
    groups = await collected(server.run([...groups, ...more], fold));
  }
  return server.run(groups, final);
}

/** Chunks that a server has sorted, merged. */
async function sorted(
  chunks: Chunks,
  server: MergeServer,
  stages: readonly Document[],
  order: KeyOrder,
  limit: number,
): Promise<Batches<Uint8Array>> {
  const keyed = [...stages, ...(limit > 0 && limit < Infinity ? [{ $limit: limit }] : []), setKey(order.key)];
  let runs: Uint8Array[][] = [];
  const merged = () => {
    const streams = runs.map((run) => new Preceded(run));
    return new Window(new Merged(streams, order.directions, MOST_RUNS, keysBy(order)), 0, limit);
  };
  for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next()) {
    runs.push(await collected(server.run(chunk, keyed)));
    if (limit < Infinity && runs.length > MOST_RUNS) runs = [await collected(merged())];
    if (runs.reduce((bytes, run) => bytes + bytesOf(run), 0) > SORT_BYTES) throw tooLarge('$sort', SORT_BYTES);
  }
  return merged();
}

/** All documents. @throws MongoServerError `BSONObjectTooLarge` when they are more bytes than that */
async function upTo(
  most: number,
  batches: Batches<Uint8Array>,
  stages: readonly Document[],
): Promise<readonly Uint8Array[]> {
  const all: Uint8Array[] = [];
  let bytes = 0;
  for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
    for (const each of batch) all.push(each);
    bytes += bytesOf(batch);
    if (bytes > most) throw tooLarge(Object.keys(stages[0]!)[0]);
  }
  return all;
}
