import type {
  ClientSession,
  Collection,
  Document,
  Filter,
  FindOneAndDeleteOptions,
  FindOneAndReplaceOptions,
  FindOneAndUpdateOptions,
  ModifyResult,
  UpdateFilter,
  WithId,
  WithoutId,
} from 'mongodb';
import type { Operation } from '../domain/query-shape.js';
import type { Token } from '../domain/token.js';
import { CollectionBulk } from './collection-bulk.js';
import * as guarded from './guarded-delete.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { LocatedWrite } from './located.js';
import { writeLocated } from './located.js';
import { majorityWithin } from './majority.js';
import type { ObservedRequest } from './observed-requests.js';
import { checkReplacementKeepsKey, checkUpdateKeepsKey } from './requests.js';
import { documentIn, foundNothing } from './results.js';
import type { OwnerRequest } from './router.js';
import { inSameTransaction } from './same-transaction.js';
import type { DroverSession, Routed } from './session.js';

type WithMetadata<O> = Routed<O> & { includeResultMetadata: true };

/** As what a write is counted. */
interface ObservedWrite<TSchema extends Document> {
  readonly kind: Operation;
  readonly filter: Filter<TSchema>;
  readonly update?: ObservedRequest['update'];
  readonly options: Pick<ObservedRequest, 'session' | 'sort' | 'collation'>;
}

/** A write of one document, which the server applies once however often it is sent. */
interface OneWrite<T> extends Pick<OwnerRequest<T>, 'restsOnLease' | 'returned'> {
  readonly options: { readonly session?: DroverSession | undefined };
  /** What it sends to be stored. */
  readonly written: unknown;
  readonly send: (collection: Collection, session: ClientSession) => Promise<T>;
}

/** Writes of one document that answer with it. */
export abstract class CollectionFindAndChange<TSchema extends Document> extends CollectionBulk<TSchema> {
  async findOneAndUpdate(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options: WithMetadata<FindOneAndUpdateOptions>,
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndUpdate(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: Routed<FindOneAndUpdateOptions>,
  ): Promise<WithId<TSchema> | null>;
  async findOneAndUpdate(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    given: Routed<FindOneAndUpdateOptions> = {},
  ): Promise<unknown> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    const changes = update as UpdateFilter<Document>;
    checkUpdateKeepsKey(changes, keyspace.field);
    const nothing = foundNothing(options);
    const found = not(nothing);
    return this.located<unknown>(keyspace, {
      kind: 'update',
      update,
      operation: 'findOneAndUpdate',
      filter,
      options,
      found,
      write: ({ token, filter: exact }) =>
        this.one<unknown>(keyspace, token, {
          options,
          written: update,
          restsOnLease: nothing,
          returned: documentIn(options),
          send: (collection, session) =>
            collection.findOneAndUpdate(exact, changes, {
              ...options,
              session,
              writeConcern: majorityWithin(session),
            } as FindOneAndUpdateOptions),
        }),
    });
  }

  async findOneAndReplace(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options: WithMetadata<FindOneAndReplaceOptions>,
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndReplace(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options?: Routed<FindOneAndReplaceOptions>,
  ): Promise<WithId<TSchema> | null>;
  async findOneAndReplace(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    given: Routed<FindOneAndReplaceOptions> = {},
  ): Promise<unknown> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    const nothing = foundNothing(options);
    const found = not(nothing);
    const operation = 'findOneAndReplace';
    return this.located<unknown>(keyspace, {
      kind: 'replace',
      operation,
      filter,
      options,
      found,
      write: ({ token, filter: exact, exists }) => {
        if (exists) checkReplacementKeepsKey(replacement, token, keyspace.field, operation);
        return this.one<unknown>(keyspace, token, {
          options,
          written: replacement,
          restsOnLease: nothing,
          returned: documentIn(options),
          send: (collection, session) =>
            collection.findOneAndReplace(exact, replacement, {
              ...options,
              session,
              writeConcern: majorityWithin(session),
            } as FindOneAndReplaceOptions),
        });
      },
    });
  }

  /** The document as it was before it was deleted. */
  async findOneAndDelete(
    filter: Filter<TSchema>,
    options: WithMetadata<FindOneAndDeleteOptions>,
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndDelete(
    filter: Filter<TSchema>,
    options?: Routed<FindOneAndDeleteOptions>,
  ): Promise<WithId<TSchema> | null>;
  async findOneAndDelete(filter: Filter<TSchema>, given: Routed<FindOneAndDeleteOptions> = {}): Promise<unknown> {
    const options = this.resolved(given);
    const keyspace = await this.keyspace();
    const nothing = foundNothing(options);
    const found = not(nothing);
    return this.located<unknown>(keyspace, {
      kind: 'delete',
      operation: 'findOneAndDelete',
      filter,
      options,
      found,
      write: ({ token, filter: exact }) =>
        this.router.write<unknown>(keyspace, token, {
          perform: (place) => guarded.findOneAndDelete(place, exact, options),
          ...{ restsOnLease: nothing, session: options.session, returned: documentIn(options) },
          crowd: 'transactions',
        }),
    });
  }

  /** Counts a write by its shape. */
  protected observedWrite<T>(
    { kind, filter, update, options: { session, sort, collation } }: ObservedWrite<TSchema>,
    perform: () => Promise<T>,
  ): Promise<T> {
    return this.observed({ operation: kind, filter, sort, collation, update, session }, perform);
  }

  protected one<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    { options, written, send, restsOnLease, returned }: OneWrite<T>,
  ): Promise<T> {
    return this.router.write<T>(keyspace, token, {
      perform: (place) => inSameTransaction(place, (session) => send(place.collection, session)),
      session: options.session,
      written,
      restsOnLease,
      returned,
    });
  }

  /** At the owner of the document that the filter finds; counted by its shape. */
  protected located<T>(
    keyspace: KeyspaceHandle,
    request: LocatedWrite<T, TSchema> & ObservedWrite<TSchema>,
  ): Promise<T> {
    return this.observedWrite(request, () => writeLocated(this.router, keyspace, request as LocatedWrite<T>));
  }
}

export const not =
  <T>(test: (result: T) => boolean) =>
  (result: T): boolean =>
    !test(result);
