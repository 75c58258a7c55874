import { setTimeout as delay } from 'node:timers/promises';
import type { ClientSession, Collection, MongoClient } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { AccessBytes } from '../../domain/access-bytes.js';
import type { RolledUp } from '../../domain/access-roll-up.js';
import { mergedDetails, rollUp } from '../../domain/access-roll-up.js';
import { detailsFromDocument, detailsToDocument, recordFromDocument, rolledUpId } from './access-documents.js';
import type { AccessCollections } from './access-reads.js';
import type { IngestionDocument } from './ingestions.js';
import { openBatches } from './ingestions.js';

/** Records in one transaction: a megabyte or two. */
const AT_ONCE = 1_000;

export interface RollUpRequest {
  /** Records from before this time are rolled up; Drover's time, milliseconds. */
  readonly before: number;
  /** How long windows (and details of hours), and hours, are kept from now on, in real milliseconds. */
  readonly keepWindowsMs: number;
  readonly keepHoursMs: number;
  /** Called now and then. */
  readonly onProgress?: () => Promise<void>;
}

interface Place {
  readonly keyspace: string;
  readonly partition: string;
}

export interface RollUpCollections extends AccessCollections {
  readonly ingestions: Collection<IngestionDocument>;
}

/**
 * Turns single records into counts of windows and hours, and details of hours.
 *
 * A transaction adds records to what there is and removes them. So every record is in exactly one place, whatever crashes, is repeated, or
 * is done by two at once; and one that comes late, however late, is added like any other.
 */
export class AccessRollUp {
  constructor(
    private readonly client: MongoClient,
    private readonly collections: RollUpCollections,
    private readonly windowMs: number,
  ) {}

  /** Works at most half of the time, for routers and readers want the server, too. @returns records that were rolled up */
  async run(request: RollUpRequest, signal: AbortSignal): Promise<number> {
    let total = 0;
    for (const place of await this.places(request.before)) {
      await request.onProgress?.();
      for (;;) {
        signal.throwIfAborted();
        const begun = performance.now();
        const done = await this.rollUpBatch(place, request);
        total += done;
        if (done > 0) await delay(performance.now() - begun, undefined, { signal });
        if (done < AT_ONCE) break;
        await request.onProgress?.();
      }
    }
    return total;
  }

  /** Of which there are records that are old enough; also of keyspaces and partitions that are gone. */
  private async places(before: number): Promise<Place[]> {
    const { records } = this.collections;
    const places: Place[] = [];
    for (const keyspace of await records.distinct('meta.keyspace')) {
      const old = { 'meta.keyspace': keyspace, time: { $lt: new Date(before) } };
      const partitions = await records.distinct('meta.partition', old);
      places.push(...partitions.map((partition) => ({ keyspace, partition })));
    }
    return places;
  }

  private async rollUpBatch(place: Place, request: RollUpRequest): Promise<number> {
    return this.client.withSession((session) =>
      session.withTransaction(() => this.rollUpIn(session, place, request), {
        readConcern: { level: 'snapshot' },
        writeConcern: { w: 'majority' },
      }),
    );
  }

  private async rollUpIn(session: ClientSession, place: Place, request: RollUpRequest): Promise<number> {
    const { records } = this.collections;
    const found = await records
      .find(
        {
          'meta.keyspace': place.keyspace,
          'meta.partition': place.partition,
          time: { $lt: new Date(request.before) },
          // What may be taken away again, by its batch, has to stay what it is.
          'meta.batch': { $nin: await openBatches(this.collections.ingestions, session) },
        },
        { session, sort: { time: 1 }, limit: AT_ONCE },
      )
      .toArray();
    if (found.length === 0) return 0;
    const rolledUp = rollUp(found.map(recordFromDocument), this.windowMs);
    await this.addCounts(session, place, rolledUp, request);
    await this.addDetails(session, place, rolledUp, request);
    const { deletedCount } = await records.deleteMany({ _id: { $in: found.map(({ _id }) => _id) } }, { session });
    // Can't be: whoever removes one of them meanwhile makes this transaction fail.
    if (deletedCount !== found.length) throw new DroverError('Superseded', 'access records were removed meanwhile');
    return found.length;
  }

  private async addCounts(session: ClientSession, place: Place, { counts }: RolledUp, request: RollUpRequest) {
    await this.collections.counts.bulkWrite(
      counts.map(({ tier, region, time, lengthMs, reads, writes, errors, latencyMs, bytes }) => ({
        updateOne: {
          filter: { _id: rolledUpId(place, { region, time, lengthMs }, tier) },
          update: {
            $setOnInsert: { time: new Date(time), meta: { ...place, region }, tier, lengthMs },
            $inc: { reads, writes, errors, 'latencyMs.sum': latencyMs.sum, ...incrementOf(bytes) },
            $max: {
              'latencyMs.max': latencyMs.max,
              expireAt: new Date(Date.now() + (tier === 'hour' ? request.keepHoursMs : request.keepWindowsMs)),
            },
          },
          upsert: true,
        },
      })),
      { session, ordered: false },
    );
  }

  private async addDetails(session: ClientSession, place: Place, { details }: RolledUp, request: RollUpRequest) {
    const ids = details.map((each) => rolledUpId(place, each, 'details'));
    const found = await this.collections.details.find({ _id: { $in: ids } }, { session }).toArray();
    const known = new Map(found.map((document) => [document._id, document]));
    const expireAt = Date.now() + request.keepWindowsMs;
    await this.collections.details.bulkWrite(
      details.map((more, i) => {
        const before = known.get(ids[i]!);
        const merged = before === undefined ? more : mergedDetails([detailsFromDocument(before), more]);
        const { region, time, lengthMs } = more;
        return {
          replaceOne: {
            filter: { _id: ids[i]! },
            replacement: {
              time: new Date(time),
              meta: { ...place, region },
              lengthMs,
              expireAt: new Date(Math.max(expireAt, before?.expireAt.getTime() ?? 0)),
              ...detailsToDocument(merged),
            },
            upsert: true,
          },
        };
      }),
      { session, ordered: false },
    );
  }
}

/** What is unknown leaves no field behind, which would say that it is nothing. */
const incrementOf = (bytes: AccessBytes | undefined) =>
  bytes && { 'bytes.read': bytes.read, 'bytes.written': bytes.written, 'bytes.requests': bytes.requests };
