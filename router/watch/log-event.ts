import type { ChangeStreamOptions, Document } from 'mongodb';
import { MongoServerError } from 'mongodb';
import { CHECKPOINTS, MARKERS } from '../../store/checkpoint.js';
import { TOUCH_FIELD } from '../../store/fenced-collection.js';
import type { KeyspaceHandle } from '../keyspaces.js';
import type { Routed } from '../session.js';
import type { WatchToken } from './position.js';

/** An event of a node's change log, as far as it has to be understood here; numbers may be of any class. */
export interface LogEvent extends Document {
  readonly _id: { readonly _data: string };
  readonly operationType: string;
  readonly ns: { readonly db: string; readonly coll: string };
  readonly documentKey: Document;
  /** Of events within a transaction. */
  readonly lsid?: { readonly id: { toString(encoding: 'hex'): string } };
  readonly txnNumber?: { toString(): string };
}

export type WatchOptions = Routed<ChangeStreamOptions>;

/** The name of a keyspace as its collection's. */
export const namesOf = ({ name, database }: KeyspaceHandle) => ({
  database,
  collection: name.slice(database.length + 1),
});

/** One document always fits into an event; two may be too much for it: those of copies, which nobody wants, would stop the stream. */
const MOST_BYTES = 16 * 1024 * 1024;

/**
 * What is read of a node: changes of documents in the keyspace's collections, and in those by which Drover's own writes are
 * told. It depends on the keyspace's name alone, as it is part of a resume token's validity.
 */
export function stagesOf(collection: string): Document[] {
  const own = [CHECKPOINTS, MARKERS].map(escaped).join('|');
  const bytesOf = (name: string) => ({ $cond: [{ $gt: [`$${name}`, null] }, { $bsonSize: `$${name}` }, 0] });
  const unlessTooLarge = (name: string, others: readonly string[]) => {
    const isTooLarge = { $gt: [{ $add: [name, ...others].map(bytesOf) }, MOST_BYTES] };
    return { [name]: { $cond: [{ $and: [{ $gt: ['$lsid', null] }, isTooLarge] }, '$$REMOVE', `$${name}`] } };
  };
  return [
    {
      $match: {
        operationType: { $in: ['insert', 'update', 'replace', 'delete'] },
        'ns.coll': { $regex: `^(${own}|${escaped(collection)}(\\..*)?)$` },
      },
    },
    {
      $set: {
        ...unlessTooLarge('fullDocument', ['updateDescription']),
        ...unlessTooLarge('fullDocumentBeforeChange', ['fullDocument', 'updateDescription']),
      },
    },
  ];
}

const escaped = (text: string): string => text.replace(/[^\w]/g, '\\$&');

/** The transaction that an event is part of. */
export const transactionOf = ({ lsid, txnNumber }: LogEvent): string | undefined =>
  lsid === undefined ? undefined : `${lsid.id.toString('hex')} ${String(txnNumber)}`;

/** The change that meets the fence before a delete: nobody but its own transaction ever sees it. */
export const isTouch = ({ operationType, updateDescription }: LogEvent): boolean =>
  operationType === 'update' &&
  (updateDescription as { updatedFields: Document }).updatedFields[TOUCH_FIELD] !== undefined;

/**
 * An event as the application sees it: of the keyspace, with a token that stands for all nodes.
 *
 * @param lookedUp the document as it is now, null when it is gone; undefined where that is not asked for
 */
export function shownForm(
  event: LogEvent,
  token: WatchToken,
  ns: LogEvent['ns'],
  lookedUp: Document | null | undefined,
): Document {
  const shown: Document = {};
  for (const [name, value] of Object.entries(event)) {
    // Where a server has it.
    if (name === 'ns' && lookedUp !== undefined) shown['fullDocument'] = lookedUp;
    shown[name] = value;
  }
  shown['_id'] = token;
  shown['ns'] = ns;
  const { operationType, fullDocumentBeforeChange: before } = event;
  if (operationType === 'delete' && before?.[TOUCH_FIELD] !== undefined) {
    const { [TOUCH_FIELD]: _, ...untouched } = before as Document;
    shown['fullDocumentBeforeChange'] = untouched;
  }
  return shown;
}

type Images = Pick<ChangeStreamOptions, 'fullDocument' | 'fullDocumentBeforeChange'>;

/** What is asked of the nodes: of hidden events they have no images, and nobody needs them. */
export const imagesAsked = ({ fullDocument, fullDocumentBeforeChange }: Images): Images => ({
  // Looked up by the router: the document may have moved.
  ...(fullDocument === undefined || fullDocument === 'updateLookup'
    ? {}
    : { fullDocument: unlessRequired(fullDocument) }),
  ...(fullDocumentBeforeChange === undefined
    ? {}
    : { fullDocumentBeforeChange: unlessRequired(fullDocumentBeforeChange) }),
});

const unlessRequired = (image: string): string => (image === 'required' ? 'whenAvailable' : image);

/** @throws MongoServerError as a server does: for an image that is required and not there, and for an event beyond 16 MB */
export function checkImages(event: LogEvent, { fullDocument, fullDocumentBeforeChange = 'off' }: Images): void {
  const { operationType, fullDocument: after, fullDocumentBeforeChange: before } = event;
  const wantsBefore = fullDocumentBeforeChange !== 'off' && operationType !== 'insert';
  const wantsAfter = operationType === 'update' && (fullDocument === 'whenAvailable' || fullDocument === 'required');
  if ((wantsAfter && after === undefined) || (wantsBefore && before === undefined)) {
    throw new MongoServerError({
      code: 10334,
      codeName: 'BSONObjectTooLarge',
      message: `the change of ${described(event)} is larger than 16 MB with its documents`,
    });
  }
  if (fullDocument === 'required' && operationType === 'update' && after === null) throw noImage('post', event);
  if (fullDocumentBeforeChange === 'required' && wantsBefore && before === null) throw noImage('pre', event);
}

const noImage = (which: 'pre' | 'post', event: LogEvent) =>
  new MongoServerError({
    code: 47,
    codeName: 'NoMatchingDocument',
    message: `Change stream was configured to require a ${which}-image, but it was not found for ${described(event)}`,
  });

const described = ({ operationType, ns, clusterTime }: LogEvent): string =>
  `event: { operationType: "${operationType}", ns: ${ns.db}.${ns.coll}, clusterTime: ${String(clusterTime)} }`;
