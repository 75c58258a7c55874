import type { ChangeStream, Document, MongoClient } from 'mongodb';
import { MergedLog } from '../../router/watch/merged-log.js';
import { NodeLog } from '../../router/watch/node-log.js';
import type { Position } from '../../router/watch/position.js';

const IDLE_MS = 2;
export const START = '82';

/** A token as a server makes it: the event's time, then its place within the transaction. */
export const tokenAt = (time: number, place = 0): string =>
  `82${time.toString(16).padStart(8, '0')}00000001${place.toString(16).padStart(4, '0')}`.toUpperCase();

export type Event = Omit<Document, '_id'>;

/** What is written at one moment: a single change, or a transaction. */
export type Moment = readonly Event[];

export const change = (n: number, collection = 'orders.p0'): Event => ({
  operationType: 'insert',
  ns: { db: 'shop', coll: collection },
  documentKey: { _id: n },
  fullDocument: { _id: n },
});
export const markerSent = (id: string): Event => ({
  ...change(0, 'drover.markers'),
  documentKey: { _id: id },
  fullDocument: { boundary: {} },
});
export const gone = (collection: string, id: string): Event => ({
  operationType: 'delete',
  ns: { db: 'shop', coll: collection },
  documentKey: { _id: id },
});
const checkpointMoved = (id: string, updatedFields: object): Event => ({
  operationType: 'update',
  ns: { db: 'shop', coll: 'drover.checkpoints' },
  documentKey: { _id: id },
  updateDescription: { updatedFields },
});
/** The transaction with which a marker arrives, and with it what was before it. */
export function arrival(marker: string, ...copied: Event[]): Moment {
  const checkpoint = marker.split('/').slice(0, 2).join('/');
  return [checkpointMoved(checkpoint, { marker }), ...copied, checkpointMoved(checkpoint, { scope: {} })];
}

let transactions = 0;

/** A node's change log, which any number of streams read. */
export class FakeNode {
  private readonly events: Document[] = [];
  /** What readers meet from now on. */
  failure: Error | 'dropped' | undefined;

  constructor(
    readonly name: string,
    moments: readonly Moment[],
    firstTime: number,
  ) {
    moments.forEach((moment, i) => {
      const lsid = { id: { toString: () => 'a session' } };
      const transaction = moment.length === 1 ? {} : { lsid, txnNumber: ++transactions };
      moment.forEach((event, place) =>
        this.events.push({ _id: { _data: tokenAt(firstTime + i, place) }, ...event, ...transaction }),
      );
    });
  }

  /** @param batchSize events of one reply */
  log(behind: string, shown: number, batchSize: number): NodeLog {
    const stream = new FakeStream(
      this.events.filter(({ _id }) => _id._data > behind),
      batchSize,
      this,
    );
    const isOurs = (collection: string) => collection === 'orders.p0';
    return new NodeLog(this.name, {} as MongoClient, stream as unknown as ChangeStream, isOurs, { behind, shown });
  }
}

/** The driver's stream; a server's position behind a full reply is that of its last event. */
class FakeStream {
  resumeToken: Document = { _data: START };
  closed = false;
  private buffered: Document[] = [];

  constructor(
    private readonly rest: Document[],
    private readonly batchSize: number,
    private readonly node: FakeNode,
  ) {}

  once(): void {}

  bufferedCount(): number {
    return this.buffered.length;
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  async tryNext(): Promise<Document | null> {
    if (this.buffered.length === 0) {
      if (this.rest.length === 0) await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
      if (this.closed) return null;
      const { failure } = this.node;
      if (failure !== undefined) {
        this.closed = true;
        if (failure === 'dropped') return null;
        throw failure;
      }
      this.buffered = this.rest.splice(0, this.batchSize);
    }
    const event = this.buffered.shift();
    if (event !== undefined) this.resumeToken = event['_id'] as Document;
    return event ?? null;
  }
}

export function mergedLog(nodes: readonly FakeNode[], batchSize = 100, from?: Position): MergedLog {
  const logs = nodes.map((node) => {
    const { behind, shown } = from?.nodes.get(node.name) ?? { behind: START, shown: 0 };
    return node.log(behind as string, shown, batchSize);
  });
  return new MergedLog('shop.orders', logs, from?.sent ?? new Set(), new Date(0));
}

/** Reads until nothing has come for a while. */
export async function readOut(log: MergedLog): Promise<number[]> {
  const ids: number[] = [];
  for (let quiet = 0; quiet < 4;) {
    const events = await log.next(performance.now() + 2 * IDLE_MS);
    quiet = events.length === 0 ? quiet + 1 : 0;
    ids.push(...events.map(({ event }) => event.documentKey['_id'] as number));
  }
  return ids;
}
