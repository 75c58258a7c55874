import { setTimeout as delay } from 'node:timers/promises';
import { CancelledFailure } from '@temporalio/activity';
import type { CopyLimits } from '../domain/copy-limits.js';
import { DroverError } from '../domain/errors.js';
import type { Direction } from '../domain/partition.js';
import { isSharedOn, tokensOf } from '../domain/partition.js';
import type { CopyProgress } from '../store/backfill.js';
import { backfill } from '../store/backfill.js';
import type { BulkWork } from '../store/bulk-work.js';
import { operationTime } from '../store/change-log.js';
import type { LeftOut } from '../store/copy-conflict.js';
import { createLanes } from '../store/copy-lane.js';
import type { FollowerProgress } from '../store/follower.js';
import { follow } from '../store/follower.js';
import { indexBuildProgress } from '../store/index-build-progress.js';
import { buildIndexes, indexesToCopy } from '../store/shadow-indexes.js';
import { storageStats } from '../store/storage-stats.js';
import { Throttle } from '../store/throttle.js';
import type { VerifyProgress } from '../store/verify.js';
import { verify } from '../store/verify.js';
import {
  confirmCollections,
  definitionToCopy,
  differentDefinitions,
  followDefinition,
  keepDefinition,
} from './definition.js';
import type { Dependencies, Move } from './dependencies.js';
import { makeEmptyCopy } from './empty-copy.js';
import { CatchUpPace, FigureReporter, WorkPace } from './figures.js';
import { givingWay } from './giving-way.js';
import { withHeartbeat } from './heartbeat.js';
import { keptFrom, keptOf } from './kept-definition.js';
import { noteLeftOut, noteLostTarget } from './lost-collection.js';
import { LogWatch } from './log-watch.js';
import type { MoveContext } from './move-context.js';
import { openMove } from './move-context.js';
import { ping } from './world.js';

const INDEX_LOOK_MS = 1_000;
/** A follower tells all the time, for as long as a migration takes. */
const LAG_EVERY_MS = 5_000;

export interface CopyResult {
  readonly documents: number;
  readonly bytes: number;
}

/** One that was begun by an earlier version has no limit of documents, one that is ended by somebody else has none at all. */
type ThrottledMove = Move & Partial<CopyLimits>;

/** Activities that make a copy and keep it. */
export function createCopyActivities(dependencies: Dependencies) {
  const { catalog } = dependencies;

  /** What backfill and verification have in common: both nodes, the throttle, and where progress is told. */
  function bulkWork<Progress>(
    context: MoveContext,
    limits: ThrottledMove,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): BulkWork<Progress> {
    return {
      source: context.client(context.move.source),
      target: context.client(context.move.target),
      database: context.keyspace.database,
      collection: context.names.source,
      copy: context.names.target,
      part: context.part,
      throttle: Throttle.of(limits),
      signal,
      onProgress,
    };
  }

  /** Builds indexes of the copy, and tells how far the server is with them. */
  async function build(context: MoveContext, reporter: FigureReporter, work: () => Promise<unknown>): Promise<void> {
    const { keyspace, names, move, client } = context;
    let ended = false;
    const look = async () => {
      for (const pace = new WorkPace('indexes'); !ended; await delay(INDEX_LOOK_MS, undefined, { ref: false })) {
        const found = await indexBuildProgress(client(move.target), keyspace.database, names.target);
        if (found !== undefined && !ended) reporter.tell({ work: pace.figures(found, found.done) });
      }
    };
    look().catch((error: unknown) => {
      dependencies.log.warn('nobody can tell how far the indexes are', { migration: move.migration, error });
    });
    try {
      await work();
    } finally {
      ended = true;
    }
  }

  /** Reads one node and writes to the other. */
  const givingWayAtBoth = <T>(context: MoveContext, throttle: Throttle, work: () => Promise<T>): Promise<T> => {
    const { source, target } = context.move;
    const nodes = [
      { node: source, writes: false },
      { node: target, writes: true },
    ];
    return givingWay(dependencies, context, nodes, throttle, work);
  };

  return {
    /** An empty collection at the target with the source's options and indexes, which accepts nothing yet. */
    createShadow: (move: Move): Promise<void> =>
      withHeartbeat(async (_report, signal) => {
        const context = await openMove(dependencies, move);
        const name = context.names.target;
        const db = context.db(move.target);
        const noted = await keptOf(catalog, move.migration);
        const definition = await definitionToCopy(dependencies, context);
        await makeEmptyCopy(dependencies, context, definition, noted);
        await keepDefinition(dependencies, context, definition, noted);
        // In a shared one they would be everybody's: that they are the same is looked at before documents are copied.
        if (isSharedOn(context.partition, move.target)) await followDefinition(dependencies, context, { signal });
        else {
          const isBefore = dependencies.migration.secondaryIndexes === 'before';
          const indexes = isBefore ? definition.indexes : indexesToCopy(definition).unique;
          await buildIndexes(db, name, indexes, signal);
        }
        const startAt = await operationTime(context.db(move.source));
        await context.checkpoint('forward').create(tokensOf(context.partition), startAt);
        await createLanes(db, move.migration);
      }),

    /** All documents, then the indexes that are not there yet: they are cheaper to build once the documents are. */
    backfill: (move: ThrottledMove): Promise<CopyResult> =>
      withHeartbeat(async (report, signal) => {
        const context = await openMove(dependencies, move);
        await confirmCollections(dependencies, context);
        const copyUuid = (await keptOf(catalog, move.migration))?.uuids[move.target];
        const { startAt } = await context.checkpoint('forward').get();
        const log = new LogWatch(context, startAt.getHighBitsUnsigned(), (error) => {
          dependencies.log.warn('the change log could not be looked at', { migration: move.migration, error });
        });
        const either = AbortSignal.any([signal, log.signal]);
        const reporter = new FigureReporter(dependencies, move.migration, report);
        const pace = new WorkPace('backfill', await meanSize(context));
        const work = bulkWork<CopyProgress>(context, move, either, (progress) => {
          log.progress(progress);
          const { documents, bytes, documentsInAll, read, toRead } = progress;
          const counted = { done: documents, inAll: documentsInAll };
          reporter.tell({ documents, bytes, work: pace.figures(counted, read, toRead - read) });
        });
        const { documents, bytes } = await givingWayAtBoth(context, work.throttle, () =>
          backfill({ ...work, migration: move.migration, copyUuid }),
        );
        const follow = () => followDefinition(dependencies, context, { signal, withoutUnique: true });
        await build(context, reporter, follow);
        await catalog.migrations.update(move.migration, { $set: { documents, bytes } });
        return { documents, bytes };
      }),

    /**
     * Follows one side's changes until it is cancelled. Reverse replication begins where the target stands now: the target
     * is named in no route until a marker has come back this way, so nothing of its own can be before it.
     */
    replicate: (move: ThrottledMove & { readonly direction: Direction }): Promise<void> =>
      withHeartbeat(async (report, signal) => {
        const context = await openMove(dependencies, move);
        if (move.direction === 'back' && context.partition.route.target === null) {
          const startAt = await operationTime(context.db(move.target));
          await context.checkpoint('back').create(tokensOf(context.partition), startAt);
        }
        const [source, target] = [context.client(move.source), context.client(move.target)];
        const beforeCutover = move.direction === 'forward' && context.partition.route.target === null;
        const reporter = new FigureReporter(dependencies, move.migration, report, LAG_EVERY_MS);
        const catchingUp = new CatchUpPace();
        const record = await catalog.migrations.find(move.migration);
        const kept = record && keptFrom(record);
        const [origin, destination] = move.direction === 'forward' ? [source, target] : [target, source];
        const { names, part } = context;
        const [from, to] = move.direction === 'forward' ? [names.source, names.target] : [names.target, names.source];
        const way = {
          migration: move.migration,
          direction: move.direction,
          origin,
          destination,
          database: context.keyspace.database,
          collection: from,
          copy: to,
          keyField: context.fence.keyField,
          part,
          copyUuid: kept?.uuids[move.direction === 'forward' ? move.target : move.source],
          // Once the target may be handed tokens, steps wait for replication.
          throttle: beforeCutover ? Throttle.of(move) : undefined,
          originWasDropped: (move.direction === 'forward' ? record?.sourceLost : record?.targetLost) === true,
          onSourceGone: () => {
            dependencies.log.error('the source was dropped or renamed: nothing can be handed back to it', {
              migration: move.migration,
              collection: `${context.keyspace.database}.${names.source}`,
            });
          },
          onLeftOut: (what: LeftOut) => noteLeftOut(dependencies, move, what),
          signal,
          onProgress: ({ applied, lagSeconds }: FollowerProgress) => {
            reporter.tell({ [`replication.${move.direction}`]: catchingUp.figures(applied, lagSeconds) });
          },
        };
        // The copy may still have a unique index that the source has no more.
        const definitionWasBehind = async () => {
          try {
            const now = await openMove(dependencies, move);
            return await followDefinition(dependencies, now, { signal, regardless: move.direction === 'back' });
          } catch (error) {
            dependencies.log.warn('definitions could not be compared', { migration: move.migration, error });
            // Somebody else compares them at this moment.
            return error instanceof DroverError && error.code === 'Superseded';
          }
        };
        while (!signal.aborted) {
          try {
            await follow(way);
          } catch (error) {
            const isChanged = error instanceof DroverError && error.code === 'SourceChanged';
            // The next attempt follows what comes after that.
            if (isChanged && move.direction === 'back') await noteLostTarget(dependencies, context);
            const isDuplicate = error instanceof DroverError && error.code === 'DuplicateId';
            if (!isDuplicate || !(await definitionWasBehind())) throw error;
          }
        }
        throw new CancelledFailure('replication was stopped');
      }),

    /** Waits until a change made now reaches the target within a second; fails when it never does. */
    catchUp: (move: Move): Promise<void> =>
      withHeartbeat(async (report, signal) => {
        const context = await openMove(dependencies, move);
        for (let attempt = 1; ; attempt++) {
          const startedAt = performance.now();
          const arrived = await ping(context, 'forward', 10_000, { signal });
          const ms = performance.now() - startedAt;
          report({ attempt, ms });
          if (arrived && ms < 1_000) return;
          if (attempt >= 60)
            throw new DroverError('TimedOut', 'replication does not catch up with the writes of the source');
        }
      }),

    /** All documents, indexes and collection options of both sides, while writes go on. */
    verify: (move: ThrottledMove): Promise<{ readonly compared: number }> =>
      withHeartbeat(async (report, signal) => {
        const context = await openMove(dependencies, move);
        const reporter = new FigureReporter(dependencies, move.migration, report);
        // Changed since the copy began: the change log says nothing of it.
        await build(context, reporter, () => followDefinition(dependencies, context, { signal }));
        const pace = new WorkPace('verify', await meanSize(context));
        const work = bulkWork<VerifyProgress>(context, move, signal, ({ compared, documentsInAll }) => {
          const counted = { done: compared, inAll: documentsInAll };
          reporter.tell({ compared, work: pace.figures(counted, compared) });
        });
        const settle = async () => {
          if (await ping(context, 'forward', 30_000, { signal })) return;
          throw new DroverError('Unavailable', 'replication did not catch up within 30 s');
        };
        const { compared, different } = await givingWayAtBoth(context, work.throttle, () =>
          verify({ ...work, migration: move.migration, settle }),
        );
        if (different.length > 0) {
          throw new DroverError(
            'VerificationFailed',
            `${different.length} or more documents differ: ${different.join(', ')}`,
          );
        }
        await followDefinition(dependencies, context, { signal });
        const definitions = await differentDefinitions(context);
        if (definitions.length > 0) throw new DroverError('VerificationFailed', definitions.join('; '));
        await catalog.migrations.update(move.migration, { $set: { compared } });
        return { compared };
      }),
  };
}

/** Bytes of a document of the partition. */
async function meanSize({ move, db, names }: MoveContext): Promise<number> {
  const { count, size } = await storageStats(db(move.source).collection(names.source));
  return Number(size) / Math.max(1, Number(count));
}

export type CopyActivities = ReturnType<typeof createCopyActivities>;
