import type { DeleteOptions, DeleteResult, Document, Filter } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { grouped } from '../domain/grouped.js';
import type { Token } from '../domain/token.js';
import { isFenced } from '../store/fenced-collection.js';
import { tokenOfRaw } from '../store/key-token.js';
import { decode, fieldAt, idOf } from '../store/raw-bson.js';
import { allEnded } from './all-ended.js';
import { BATCH, deleteListed, withinTransaction } from './guarded-delete.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { idsAndKeys } from './located.js';
import { partlyDone } from './results.js';
import type { PartitionRoute } from './route-table.js';
import type { Router } from './router.js';
import type { Place } from './same-transaction.js';
import { atOnce } from './scatter.js';
import type { Routed } from './session.js';
import { changingHands } from './session-transaction.js';
import type { Wanted } from './wanted.js';

/** Documents that are looked up at once. */
const LISTED = 10_000;

interface Listed {
  readonly id: unknown;
  readonly token: Token;
}

/**
 * `deleteMany`: documents are listed, then deleted in small transactions, each of them at whoever owns its documents by then: so a
 * hand-over waits for one of them, not for all.
 *
 * @throws what stopped it, with `deletedCount` for what had been deleted
 */
export async function deleteEverywhere(
  router: Router,
  keyspace: KeyspaceHandle,
  wanted: Wanted,
  filter: Filter<Document>,
  options: Routed<DeleteOptions> = {},
): Promise<DeleteResult> {
  const settings = withinTransaction(options);
  const { session } = options;
  let deletedCount = 0;
  const remove = async (
    [route, documents]: readonly [PartitionRoute, readonly Listed[]],
    stopped: () => boolean,
  ): Promise<void> => {
    let deadline = router.deadline();
    let rest = documents;
    while (rest.length > 0 && !stopped()) {
      const owner = route.readOwner(rest[0]!.token);
      const batch = rest.filter(({ token }) => route.readOwner(token) === owner).slice(0, BATCH);
      const ids = batch.map(({ id }) => id);
      const tokens = batch.map(({ token }) => token);
      const perform = (place: Place) => deleteListed(place, ids, filter, settings);
      try {
        const deleted = await router.writeMany(keyspace, route, tokens, { perform, session, crowd: 'transactions' });
        deletedCount += deleted;
      } catch (error) {
        if (!isFenced(error) || session?.inTransaction() === true || performance.now() > deadline) throw error;
        // Nothing of the batch was deleted.
        await router.refused(route);
        continue;
      }
      deadline = router.deadline();
      const done = new Set(batch);
      rest = rest.filter((document) => !done.has(document));
    }
  };
  try {
    for (;;) {
      const known = router.routesOf(keyspace, wanted);
      const listed = await list(router, keyspace, filter, options);
      const byRoute = grouped(listed, ({ token }) => router.routeOf(keyspace, token));
      await allEnded([...byRoute], atOnce(session), remove);
      if (listed.length === LISTED) continue;
      // A list from a node that may not be the owner any more can lack some.
      if (await router.areConfirmed(known, router.deadline())) return { acknowledged: true, deletedCount };
      if (session?.inTransaction() === true) throw changingHands(known[0]!.route);
    }
  } catch (error) {
    const told = deletedCount > 0 && error instanceof DroverError ? partlyDone(error) : error;
    throw told instanceof Error ? Object.assign(told, { deletedCount }) : told;
  }
}

async function list(
  router: Router,
  keyspace: KeyspaceHandle,
  filter: Filter<Document>,
  { session, ...options }: Routed<DeleteOptions>,
): Promise<Listed[]> {
  const { field } = keyspace;
  const documents = await idsAndKeys(router, keyspace, filter, { ...withinTransaction(options), session }, LISTED);
  return documents.map((bytes) => ({ id: decode(idOf(bytes)), token: tokenOfRaw(fieldAt(bytes, field)) }));
}
