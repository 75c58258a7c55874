import { setImmediate as others } from 'node:timers/promises';
import type { AnyBulkWriteOperation, Collection } from 'mongodb';
import type { UsedTogether } from '../../domain/access-correlation.js';
import { AccessCorrelation } from '../../domain/access-correlation.js';
import type { EntityUse } from '../../domain/entity-sessions.js';
import type { Token } from '../../domain/token.js';
import { tokenFromBson, tokenToBson } from '../codec.js';
import type { AccessSpan } from './access-top.js';
import type { IngestionDocument } from './ingestions.js';
import { openBatches } from './ingestions.js';
import { hourOf } from './query-shapes.js';

/** How long they are kept after they were written, in seconds. */
export const ENTITY_PAIRS_RETENTION_S = 7 * 24 * 3600;
/** Of so many hours of routers and batches is spoken, the newest: some dozens of megabytes at most. */
const MOST_READ = 2_000;
/** After so many whoever else has something to do in this process comes first. */
const READ_AT_ONCE = 50;

type StoredToken = ReturnType<typeof tokenToBson>;

/** What one router, or a batch of a log, saw of an hour. */
export interface EntityPairsDocument {
  _id: { keyspace: string; hour: Date; by: string };
  sessions: number;
  entities: (readonly [StoredToken, number])[];
  pairs: (readonly [StoredToken, StoredToken, number])[];
  /** By the server's clock: what a log or a replay brings may be old from the beginning. */
  writtenAt: Date;
}

export interface EntitiesUsedTogether extends Omit<UsedTogether, 'a' | 'b'> {
  readonly a: Token;
  readonly b: Token;
}

/** Which entities are used together, by the hour. They are known by their tokens, wherever these are. */
export class EntityPairs {
  constructor(
    private readonly collection: Collection<EntityPairsDocument>,
    private readonly ingestions: Collection<IngestionDocument>,
  ) {}

  /** What was put of the same hour by the same one is replaced. @param by a router, or a batch of a log */
  async put(use: readonly EntityUse[], by: string): Promise<void> {
    if (use.length === 0) return;
    const operations = use.map(({ keyspace, hour, sessions, items, pairs }) => {
      const counts = {
        sessions,
        entities: items.map(([entity, times]) => [stored(entity), times] as const),
        pairs: pairs.map(([a, b, times]) => [stored(a), stored(b), times] as const),
      };
      const update = { $set: counts, $currentDate: { writtenAt: true } } as const;
      const filter = { _id: { keyspace, hour: new Date(hour), by } };
      return { updateOne: { filter, update, upsert: true } } satisfies AnyBulkWriteOperation<EntityPairsDocument>;
    });
    await this.collection.bulkWrite(operations, { ordered: false });
  }

  /** Removes what was put by it. */
  async remove(by: string): Promise<void> {
    await this.collection.deleteMany({ '_id.by': by });
  }

  /**
   * In the hours that the time touches; those that belong together most first.
   *
   * @returns since the hour from which on it is told: a later one than asked for where there is too much
   */
  async top(
    { keyspace, from, to }: AccessSpan,
    atMost: number,
  ): Promise<{ readonly since: Date; readonly pairs: EntitiesUsedTogether[] }> {
    const correlation = new AccessCorrelation();
    const uncounted = await openBatches(this.ingestions);
    const found = this.collection
      .find({
        '_id.keyspace': keyspace,
        '_id.hour': { $gte: hourOf(from), $lt: new Date(to) },
        '_id.by': { $nin: uncounted },
      })
      .sort({ '_id.hour': -1 })
      .limit(MOST_READ);
    let [read, since] = [0, hourOf(from)];
    for await (const { _id, sessions, entities, pairs } of found) {
      if (++read === MOST_READ) since = _id.hour;
      if (read % READ_AT_ONCE === 0) await others();
      const items = entities.map(([entity, times]) => [spoken(entity), times] as const);
      correlation.addCounts({ sessions, items, pairs: pairs.map(([a, b, times]) => [spoken(a), spoken(b), times]) });
    }
    const pairs = correlation.top(atMost).map(({ a, b, ...rest }) => ({ a: BigInt(a), b: BigInt(b), ...rest }));
    return { since, pairs };
  }
}

const stored = (entity: string): StoredToken => tokenToBson(BigInt(entity));
const spoken = (entity: StoredToken): string => String(tokenFromBson(entity));
