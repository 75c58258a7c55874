import type { Document, Filter, Timestamp } from 'mongodb';
import { BSON } from 'mongodb';
import { collectionOn } from '../../domain/partition.js';
import type { RawValue } from '../../store/raw-bson.js';
import { decode, field, identity, idOf, UNPROMOTED } from '../../store/raw-bson.js';
import { findRaw } from '../../store/raw-documents.js';
import type { KeyspaceHandle } from '../keyspaces.js';
import { piecesOf, unitsOf, within } from '../pieces.js';
import type { Router } from '../router.js';
import type { LogEvent } from './log-event.js';
import type { ShownEvent } from './merged-log.js';
import type { NodeLog } from './node-log.js';

/** Documents that are held in memory at once, unless one is larger. */
const MOST_BYTES = 32 * 1024 * 1024;
const MOST_EVENTS = 1_000;

/** Present documents by event; null of one that is gone. */
export type FullDocuments = ReadonlyMap<LogEvent, Document | null>;

interface Place {
  readonly log: NodeLog;
  readonly collection: string;
  readonly events: { readonly event: LogEvent; readonly id: RawValue }[];
}

/** What `updateLookup` promises: the documents of updates as they are at some moment after these. */
export class DocumentLookUp {
  constructor(
    private readonly router: Router,
    private readonly keyspace: KeyspaceHandle,
  ) {}

  /** @returns the documents for as many of the events, from the first on, as fit into memory */
  async of(events: readonly ShownEvent[]): Promise<{ readonly count: number; readonly documents: FullDocuments }> {
    for (let count = Math.min(events.length, MOST_EVENTS); ; count = Math.ceil(count / 2)) {
      const places = placesOf(events.slice(0, count));
      const documents = await this.lookUp(places, count === 1 ? Infinity : MOST_BYTES);
      if (documents !== undefined) return { count, documents };
    }
  }

  private async lookUp(places: readonly Place[], maxBytes: number): Promise<FullDocuments | undefined> {
    const found = new Map<LogEvent, Document | null>();
    for (const place of places) {
      const documents = await this.at(place, maxBytes);
      if (documents === undefined) return undefined;
      const missing = place.events.filter(({ id }) => !documents.has(identity(id)));
      for (const [id, document] of await this.elsewhere(
        place,
        missing.map(({ id }) => id),
      ))
        documents.set(id, document);
      for (const { event, id } of place.events) {
        const document = documents.get(identity(id));
        found.set(event, document === undefined ? null : BSON.deserialize(document, UNPROMOTED));
      }
    }
    return found;
  }

  /** Where the change was made: the document there has it, also when it has moved since. */
  private async at({ log, collection, events }: Place, maxBytes: number) {
    // After an election the new primary's majority may be behind a change that the old one has told of.
    const session = log.client.startSession({ causalConsistency: true });
    try {
      session.advanceOperationTime(events.at(-1)!.event['clusterTime'] as Timestamp);
      const ids = new Map(events.map(({ id }) => [identity(id), id]));
      const documents = log.client.db(this.keyspace.database).collection(collection);
      const options = { session, maxBytes, readConcern: { level: 'majority' as const } };
      const found = await findRaw(documents, [...ids.values()], options);
      return found && new Map(found.map((document) => [identity(idOf(document)), document]));
    } finally {
      await session.endSession();
    }
  }

  /** What is not there any more may have moved away, and its copy been removed. */
  private async elsewhere({ log, collection }: Place, ids: readonly RawValue[]): Promise<Map<string, Uint8Array>> {
    if (ids.length === 0) return new Map();
    const routes = this.router
      .routesOf(this.keyspace, 'all')
      .map(({ route }) => route)
      .filter(({ partition }) => collectionOn(partition, log.node) === collection);
    const isElsewhere = (piece: { node: string }) => piece.node !== log.node;
    const units = unitsOf(routes, 'all').filter((unit) => piecesOf(unit, this.keyspace.field).some(isElsewhere));
    if (units.length === 0) return new Map();
    const filter = { _id: { $in: ids.map(decode) as never[] } };
    const found = await this.router.scatter.ask(this.keyspace, units, undefined, async (piece) => {
      if (!isElsewhere(piece)) return [];
      // What the change was made to has come there before the route, but not to every member, nor to each one's majority.
      const maxTimeMS = Math.max(1, Math.round(this.router.deadline() - performance.now()));
      const ofPrimary = { readPreference: 'primary', readConcern: { level: 'linearizable' } } as const;
      const options = { raw: true, ...ofPrimary, maxTimeMS };
      const there = await piece.collection.find(within(filter, piece) as Filter<Document>, options).toArray();
      piece.delivered(there);
      return there;
    });
    const documents = found.flat() as unknown as Uint8Array[];
    return new Map(documents.map((document) => [identity(idOf(document)), document]));
  }
}

/** Only of updates: other events have the document, or there is none. */
function placesOf(events: readonly ShownEvent[]): Place[] {
  const places = new Map<string, Place>();
  for (const { event, log } of events) {
    if (event.operationType !== 'update') continue;
    const collection = event.ns.coll;
    const name = `${log.node} ${collection}`;
    let place = places.get(name);
    if (place === undefined) places.set(name, (place = { log, collection, events: [] }));
    place.events.push({ event, id: field(BSON.serialize(event.documentKey), '_id')! });
  }
  return [...places.values()];
}
