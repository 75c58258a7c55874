import type { BSONSerializeOptions, Db, Document } from 'mongodb';
import { BSON } from 'mongodb';
import type { KeyspaceHandle } from '../keyspaces.js';
import type { DocumentLookUp, FullDocuments } from './full-documents.js';
import type { LaterNodes } from './later-nodes.js';
import type { WatchOptions } from './log-event.js';
import { checkImages, namesOf, shownForm } from './log-event.js';
import type { MergedLog, ShownEvent } from './merged-log.js';
import type { Position, WatchToken } from './position.js';
import { tokenOf } from './position.js';
import type { UserPipeline } from './user-pipeline.js';

/** As long as a server waits for new events. */
const AWAIT_MS = 1_000;
const NONE: FullDocuments = new Map();

/** What is done to events before the application gets them. */
export interface Finish {
  readonly options: WatchOptions;
  readonly decoding: BSONSerializeOptions;
  /** For `updateLookup`. */
  readonly lookUp?: DocumentLookUp | undefined;
  readonly pipeline?: UserPipeline | undefined;
  /** The keyspace's, at a node that answers: where the pipeline is run. */
  readonly anyDb: () => Db;
}

/** What the application sees of a keyspace's changes, batch by batch. */
export class WatchedChanges {
  /** Read, and not given out yet. */
  private queue: readonly ShownEvent[] = [];
  private given: Position | undefined;

  constructor(
    private readonly keyspace: KeyspaceHandle,
    private readonly log: MergedLog,
    private readonly later: LaterNodes,
    private readonly finish: Finish,
  ) {}

  /** Behind everything that was given out. */
  get token(): WatchToken {
    return this.tokenAt(this.queue.length > 0 && this.given !== undefined ? this.given : this.log.position);
  }

  /** The next events, or none when there were none for as long as a server would wait. */
  async next(): Promise<Document[]> {
    const deadline = performance.now() + (this.finish.options.maxAwaitTimeMS ?? AWAIT_MS);
    for (;;) {
      await this.follow();
      if (this.queue.length === 0) this.queue = await this.log.next(deadline);
      if (this.queue.length === 0) return [];
      const events = await this.finished();
      if (events.length > 0 || performance.now() >= deadline) return events;
    }
  }

  async close(): Promise<void> {
    await this.log.close();
  }

  /** Also what nodes tell that have come in. */
  private async follow(): Promise<void> {
    for (const log of await this.later.next(this.log.unread)) await this.log.add(log);
    this.log.since = this.later.since;
  }

  /** As many as can be worked on at once leave the queue. */
  private async finished(): Promise<Document[]> {
    const { lookUp, pipeline, decoding } = this.finish;
    const { count, documents } = (await lookUp?.of(this.queue)) ?? { count: this.queue.length, documents: NONE };
    const events = this.shown(this.queue.slice(0, count), documents);
    this.given = this.queue[events.length - 1]!.position;
    this.queue = this.queue.slice(events.length);
    if (pipeline !== undefined) return pipeline.apply(this.finish.anyDb(), events);
    if (lookUp === undefined) return events;
    const { enableUtf8Validation, ...options } = decoding;
    const validation = { utf8: enableUtf8Validation !== false };
    return events.map((event) => BSON.deserialize(BSON.serialize(event), { ...options, validation }));
  }

  /** Up to one that can't be given out: whoever asks for that one gets the error. */
  private shown(events: readonly ShownEvent[], documents: FullDocuments): Document[] {
    const { database, collection } = namesOf(this.keyspace);
    const shown: Document[] = [];
    for (const { event, position } of events) {
      try {
        checkImages(event, this.finish.options);
      } catch (error) {
        if (shown.length === 0) throw error;
        return shown;
      }
      const ns = { db: database, coll: collection };
      shown.push(shownForm(event, this.tokenAt(position), ns, documents.get(event)));
    }
    return shown;
  }

  private tokenAt(position: Position): WatchToken {
    return tokenOf(this.keyspace.name, position);
  }
}
