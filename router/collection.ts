import type {
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  InsertOneOptions,
  InsertOneResult,
  OptionalUnlessRequiredId,
  ReplaceOptions,
  UpdateFilter,
  UpdateOptions,
  UpdateResult,
  WithoutId,
} from 'mongodb';
import { ObjectId } from 'mongodb';
import { isFenced } from '../store/fenced-collection.js';
import { tokenOfKey } from '../store/key-token.js';
import { deleteEverywhere } from './delete-everywhere.js';
import * as guarded from './guarded-delete.js';
import type { Token } from '../domain/token.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MAJORITY } from './majority.js';
import type { SingleWrites } from './bulk-write.js';
import { CollectionFindAndChange, not } from './collection-find-and-change.js';
import { tokenOfUpsert } from './located.js';
import { checkReplacementKeepsKey, checkUpdateKeepsKey, keyOfDocument } from './requests.js';
import { changedNothing, deletedNothing, hasMatched, refusedInTheMiddle } from './results.js';
import type { Routed } from './session.js';
import { within } from './pieces.js';
import type { Wanted } from './wanted.js';
import { isCollated } from './wanted.js';

/**
 * A partitioned collection with the driver's own methods, options, results and errors. Each request goes to the node
 * that owns its key at that moment; a write of a key that is changing hands waits a moment.
 */
export class DroverCollection<TSchema extends Document = Document> extends CollectionFindAndChange<TSchema> {
  protected readonly singles = this as unknown as SingleWrites;

  async insertOne(
    document: OptionalUnlessRequiredId<TSchema>,
    given: Routed<InsertOneOptions> = {},
  ): Promise<InsertOneResult<TSchema>> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    // Given here, not by the driver, so that a repeated attempt stores the same document.
    if (document._id === undefined) document._id = new ObjectId() as never;
    const token = tokenOfKey(keyOfDocument(document, keyspace.field));
    return this.observed({ operation: 'insert', wanted: [token], session: options.session }, () =>
      this.one(keyspace, token, {
        options,
        written: document,
        send: (collection, session) => collection.insertOne(document, { ...options, session, writeConcern: MAJORITY }),
      }),
    );
  }

  async updateOne(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    given: Routed<UpdateOptions> = {},
  ): Promise<UpdateResult<TSchema>> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    const changes = update as UpdateFilter<Document>;
    checkUpdateKeepsKey(changes, keyspace.field);
    return this.located(keyspace, {
      kind: 'update',
      update,
      operation: 'updateOne',
      filter,
      options,
      found: hasMatched,
      write: ({ token, filter: exact }) =>
        this.one(keyspace, token, {
          options,
          written: update,
          restsOnLease: changedNothing,
          send: (collection, session) =>
            collection.updateOne(exact, changes, { ...options, session, writeConcern: MAJORITY }),
        }),
    });
  }

  /**
   * Sent once: the server can't tell which documents it has changed already. An unknown outcome is thrown, and so is a refusal
   * by a fence, which only a client meets that was cut off from the catalog for longer than its lease.
   */
  async updateMany(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    given: Routed<UpdateOptions> = {},
  ): Promise<UpdateResult<TSchema>> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    const changes = update as UpdateFilter<Document>;
    checkUpdateKeepsKey(changes, keyspace.field);
    const collated = isCollated(options.collation);
    const wanted: Wanted =
      options.upsert === true
        ? [tokenOfUpsert('updateMany', filter, keyspace.field, collated)]
        : this.wanted(keyspace, filter, options);
    return this.observedWrite({ kind: 'update', filter, update, options }, () =>
      wanted === 'all' || wanted.length > 1
        ? this.updateEverywhere(keyspace, wanted, filter, changes, options)
        : this.updateOfKey(keyspace, wanted[0], filter, changes, options),
    );
  }

  async replaceOne(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    given: Routed<ReplaceOptions> = {},
  ): Promise<UpdateResult<TSchema>> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    return this.located(keyspace, {
      kind: 'replace',
      operation: 'replaceOne',
      filter,
      options,
      found: hasMatched,
      write: ({ token, filter: exact, exists }) => {
        if (exists) checkReplacementKeepsKey(replacement, token, keyspace.field, 'replaceOne');
        return this.one(keyspace, token, {
          options,
          written: replacement,
          restsOnLease: changedNothing,
          send: (collection, session) =>
            collection.replaceOne(exact, replacement, { ...options, session, writeConcern: MAJORITY }),
        });
      },
    });
  }

  async deleteOne(filter: Filter<TSchema>, given: Routed<DeleteOptions> = {}): Promise<DeleteResult> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    return this.located(keyspace, {
      kind: 'delete',
      operation: 'deleteOne',
      filter,
      options,
      found: not(deletedNothing),
      write: ({ token, filter: exact }) =>
        this.router.write(keyspace, token, {
          perform: (place) => guarded.deleteOne(place, exact, options),
          restsOnLease: deletedNothing,
          session: options.session,
          crowd: 'transactions',
        }),
    });
  }

  /**
   * Deletes in small transactions, each of them at whoever owns the key at that moment: one that a fence refuses has
   * deleted nothing and goes to the new owner. An error in the middle has what was deleted before in `deletedCount`.
   */
  async deleteMany(filter: Filter<TSchema>, given: Routed<DeleteOptions> = {}): Promise<DeleteResult> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    const wanted = this.wanted(keyspace, filter, options);
    return this.observedWrite({ kind: 'delete', filter, options }, () =>
      deleteEverywhere(this.router, keyspace, wanted, filter as Filter<Document>, options),
    );
  }

  private updateOfKey(
    keyspace: KeyspaceHandle,
    token: Token,
    filter: Filter<TSchema>,
    changes: UpdateFilter<Document>,
    options: Routed<UpdateOptions>,
  ): Promise<UpdateResult<TSchema>> {
    return this.router.write(keyspace, token, {
      ...{ written: changes, restsOnLease: changedNothing, session: options.session },
      perform: async ({ collection, session }) => {
        const settings = { ...options, session, writeConcern: MAJORITY } as UpdateOptions;
        try {
          return await collection.updateMany(filter as Filter<Document>, changes, settings);
        } catch (error) {
          if (session?.inTransaction() || !isFenced(error)) throw error;
          await this.router.refused(this.router.routeOf(keyspace, token));
          throw refusedInTheMiddle();
        }
      },
    });
  }

  private async updateEverywhere(
    keyspace: KeyspaceHandle,
    wanted: Wanted,
    filter: Filter<TSchema>,
    changes: UpdateFilter<Document>,
    options: Routed<UpdateOptions>,
  ): Promise<UpdateResult<TSchema>> {
    const units = this.router.scatter.units(keyspace, wanted);
    const parts = await this.router.ranges.write(keyspace, units, {
      ...{ written: changes, changedNothing, session: options.session },
      perform: ({ collection, session }, restriction) =>
        collection.updateMany(within(filter, { restriction }), changes, {
          ...options,
          session,
          writeConcern: MAJORITY,
        } as UpdateOptions),
    });
    const sum = (name: 'matchedCount' | 'modifiedCount') => parts.reduce((total, part) => total + part[name], 0);
    const [matchedCount, modifiedCount] = [sum('matchedCount'), sum('modifiedCount')];
    return { acknowledged: true, matchedCount, modifiedCount, upsertedCount: 0, upsertedId: null };
  }
}
