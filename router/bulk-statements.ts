import type { Document } from 'mongodb';
import { BatchType, ObjectId } from 'mongodb';
import type { Token } from '../domain/token.js';
import { tokenOfKey } from '../store/key-token.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { tokenOfUpsert } from './located.js';
import { checkReplacementKeepsKey, checkUpdateKeepsKey, keyOfDocument } from './requests.js';
import type { Wanted } from './wanted.js';
import { isCollated, wantedBy } from './wanted.js';

/** One operation of a bulk write. */
export interface Statement {
  /** Its place in the caller's list. */
  readonly index: number;
  readonly kind: BatchType;
  /** The document to insert, or the statement as the driver makes and sends it. */
  readonly op: Document;
  /** Of the key, where it writes one document and names it: such statements of one partition are sent together. */
  readonly token?: Token;
}

export type KeyedStatement = Statement & { readonly token: Token };

export const isKeyed = (statement: Statement): statement is KeyedStatement => statement.token !== undefined;

/** Whether the change takes the document's place. */
export const isReplacement = (change: unknown): boolean =>
  !Array.isArray(change) && Object.keys(change as Document)[0]?.startsWith('$') !== true;

/**
 * Says where a statement goes, and refuses what a keyspace can't do before anything is sent.
 *
 * @throws MongoInvalidArgumentError, DroverError `InvalidRequest`
 */
export function addressed(statement: Statement, { field }: KeyspaceHandle): Statement {
  const { kind, op } = statement;
  if (kind === BatchType.INSERT) {
    // Given here, so that a repeated attempt stores the same document.
    op['_id'] ??= new ObjectId();
    return { ...statement, token: tokenOfKey(keyOfDocument(op, field)) };
  }
  const { q, u, multi, upsert, collation, limit } = op;
  const collated = isCollated(collation);
  if (kind === BatchType.DELETE) return limit === 1 ? withKey(statement, wantedBy(q, field, collated)) : statement;
  const replaces = isReplacement(u);
  if (!replaces) checkUpdateKeepsKey(u as Document, field);
  const operation = replaces ? 'replaceOne' : multi === true ? 'updateMany' : 'updateOne';
  const wanted: Wanted =
    upsert === true ? [tokenOfUpsert(operation, q, field, collated)] : wantedBy(q, field, collated);
  if (multi === true) return statement;
  const found = withKey(statement, wanted);
  if (replaces && isKeyed(found)) checkReplacementKeepsKey(u as Document, found.token, field, operation);
  return found;
}

const withKey = (statement: Statement, wanted: Wanted): Statement =>
  wanted !== 'all' && wanted.length === 1 ? { ...statement, token: wanted[0] } : statement;

/** Neighbours, as long as they are `together`. */
export function* runsOf(
  statements: readonly Statement[],
  together: (a: Statement, b: Statement) => boolean,
): Generator<readonly Statement[]> {
  let run: Statement[] = [];
  for (const statement of statements) {
    const last = run.at(-1);
    if (last !== undefined && !together(last, statement)) {
      yield run;
      run = [];
    }
    run.push(statement);
  }
  if (run.length > 0) yield run;
}
