import type { ChangeStreamDocument, ClientSession, Collection, Document } from 'mongodb';
import { ChangeStream } from 'mongodb';
import { ChangeStreamCursor } from 'mongodb/lib/cursor/change_stream_cursor.js';
import { DriverAnswer } from '../driver-answer.js';
import type { Router } from '../router.js';
import type { WatchOptions } from './log-event.js';
import { openChanges } from './open-changes.js';
import type { WatchToken } from './position.js';
import type { WatchedChanges } from './watched-changes.js';

/** What the driver's cursor of a change stream takes for an answer of a server. */
class ChangesAnswer extends DriverAnswer {
  constructor(
    events: readonly Document[],
    readonly postBatchResumeToken: WatchToken,
  ) {
    super(DriverAnswer.MORE, events);
  }
}

type Open = (options: WatchOptions) => Promise<WatchedChanges>;

/** The driver's cursor over the change logs of all nodes. */
class WatchCursor extends ChangeStreamCursor {
  private changes: WatchedChanges | undefined;
  private isEnded = false;

  constructor(
    { client, namespace }: { readonly client: unknown; readonly namespace: unknown },
    pipeline: readonly Document[],
    private readonly options: WatchOptions,
    private readonly open: Open,
  ) {
    const { session: _, ...others } = options;
    super(client, namespace, pipeline, others);
  }

  /** For the driver's class: the first answer. */
  override async _initialize(session: ClientSession) {
    // Any server from 6.0 on: with these an error's label says whether the driver resumes.
    this.maxWireVersion = SINCE_6_0;
    this.changes = await this.open(this.options);
    if (this.isEnded) await this.changes.close();
    const response = new ChangesAnswer([], this.changes.token);
    this._processBatch(response);
    this.emit('init', response);
    this.emit('response');
    return { server: undefined, session, response };
  }

  /** For the driver's class: the next one. */
  override async getMore(): Promise<ChangesAnswer> {
    const changes = this.changes!;
    const response = new ChangesAnswer(await changes.next(), changes.token);
    this._processBatch(response);
    this.emit('more', response);
    this.emit('response');
    return response;
  }

  override async close(): Promise<void> {
    this.isEnded = true;
    await super.close();
    await this.changes?.close();
  }
}

const SINCE_6_0 = 17;

/** The driver's own class, whose constructor is not declared. */
const DriversChangeStream = ChangeStream as unknown as new <TSchema extends Document, TChange extends Document>(
  parent: Collection,
  pipeline: Document[],
  options: object,
) => ChangeStream<TSchema, TChange>;

/** The driver's change stream, over all nodes that have a part of the keyspace, or may be given one. */
export class DroverChangeStream<
  TSchema extends Document = Document,
  TChange extends Document = ChangeStreamDocument<TSchema>,
> extends DriversChangeStream<TSchema, TChange> {
  constructor(
    private readonly router: Router,
    private readonly keyspaceName: string,
    pipeline: Document[],
    private readonly given: WatchOptions,
  ) {
    const { session: _, ...options } = given;
    const [database, collection] = splitAt(keyspaceName, keyspaceName.indexOf('.'));
    super(router.scatter.anyClient().db(database).collection(collection), pipeline, options);
  }

  /** For the driver's class: also when it resumes. At the first time nothing but the driver's own fields is there. */
  _createChangeStreamCursor(options: WatchOptions): WatchCursor {
    const collection = this.parent as Collection & { readonly client: unknown };
    const open: Open = (start) =>
      openChanges(this.router, this.keyspaceName, this.pipeline, { ...start, session: this.given.session });
    const place = { client: collection.client, namespace: this.namespace };
    const cursor = new WatchCursor(place, this.pipeline, options, open);
    for (const event of ['resumeTokenChanged', 'end', 'close'] as const) {
      cursor.on(event, (value: unknown) => this.emit(event, value));
    }
    if (this.listenerCount('change') > 0) (this as unknown as Streaming)._streamEvents(cursor);
    return cursor;
  }
}

interface Streaming {
  _streamEvents(cursor: WatchCursor): void;
}

const splitAt = (text: string, at: number): [string, string] => [text.slice(0, at), text.slice(at + 1)];
