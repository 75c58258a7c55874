import type { BulkWriteResult, Document, WriteError } from 'mongodb';
import { MongoBulkWriteError } from 'mongodb';

/**
 * What a caller can see of a bulk write, but for the names of collections. Two things are told better than by the driver, which
 * counts on the statements of one kind being neighbours: which inserts were done before an ordered one failed, and to
 * which place in an unordered list an upserted `_id` belongs.
 */
export function outcomeOf(settled: PromiseSettledResult<unknown>, ordered: boolean): unknown {
  if (settled.status === 'fulfilled') return visible(settled.value as BulkWriteResult, ordered, []);
  const error = settled.reason as Error & { code?: unknown };
  const told = { type: error.constructor.name, code: error.code, message: withoutNames(error.message) };
  if (!(error instanceof MongoBulkWriteError)) return told;
  const errors = [error.writeErrors].flat();
  return { ...told, errors: errors.map(described), ...visible(error.result, ordered, errors) };
}

const described = ({ index, code, errmsg, errInfo, err: { op } }: WriteError): Document => ({
  index,
  code,
  errmsg: withoutNames(errmsg ?? ''),
  errInfo,
  op,
});

function visible(result: BulkWriteResult, ordered: boolean, errors: readonly WriteError[]): Document {
  const { insertedCount, matchedCount, modifiedCount, deletedCount, upsertedCount } = result;
  const first = ordered ? (errors[0]?.index ?? Infinity) : Infinity;
  const inserted = Object.entries(result.insertedIds).filter(([index]) => Number(index) < first);
  return {
    ...{ insertedCount, matchedCount, modifiedCount, deletedCount, upsertedCount },
    insertedIds: Object.fromEntries(inserted),
    upserted: ordered ? result.upsertedIds : new Set(Object.values(result.upsertedIds)),
    ok: result.ok,
    told: result.getWriteErrors().map(({ index }) => index),
  };
}

const withoutNames = (text: string): string => text.replace(/(shop|plain)\.orders\d+(\.p\d)?/g, 'COLLECTION');
