import type { Document } from 'mongodb';
import { MongoInvalidArgumentError, MongoServerError } from 'mongodb';

/** One stage of a pipeline: its name, with the dollar sign, and what it is told. */
export interface Stage {
  readonly name: string;
  readonly spec: unknown;
}

/** `undefined` for what no server takes for a stage. */
export function stageOf(stage: unknown): Stage | undefined {
  if (!isDocument(stage)) return undefined;
  const [only, ...others] = Object.entries(stage);
  return only === undefined || others.length > 0 ? undefined : { name: only[0], spec: only[1] };
}

/** Stages that tell of a collection, not of its documents. */
export const METADATA_STAGES: ReadonlySet<string> = new Set(['$collStats', '$indexStats', '$planCacheStats']);

/** Stages of Atlas Search: what they find and how they rank it is known to one index only. */
export const SEARCH_STAGES: ReadonlySet<string> = new Set([
  '$search',
  '$searchMeta',
  '$vectorSearch',
  '$rankFusion',
  '$scoreFusion',
]);

const INVALID_NAMESPACE = 73;

/** Stages that are for other calls, and how a server says so. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  $currentOp: "$currentOp must be run against the 'admin' database of a node with {aggregate: 1}",
  $listLocalSessions:
    '$listLocalSessions must be run against the database of a node with {aggregate: 1}, not a collection',
  $listSessions: '$listSessions may only be run against config.system.sessions of a node',
  $documents: "'$documents' can only be run with {aggregate: 1}",
};

/** Stages that this collection can't serve, and what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  $out: 'read the results and write them with insertMany or bulkWrite',
  $merge: 'read the results and write them with bulkWrite',
  $graphLookup: 'find the connected documents by further requests, such as find with $in',
  $changeStream: 'watch a collection with its method watch',
  $changeStreamSplitLargeEvent: 'watch a collection with its method watch',
};

/**
 * Before anything is sent: what would read or write other collections would miss what is on other nodes.
 *
 * @throws MongoInvalidArgumentError, or MongoServerError with a server's code where it refuses the stage, too
 */
export function checkStages(pipeline: readonly unknown[], within?: '$lookup' | '$unionWith' | '$facet'): void {
  for (const [i, each] of pipeline.entries()) {
    const stage = stageOf(each);
    if (stage === undefined) continue;
    const { name, spec } = stage;
    if (Object.hasOwn(REFUSED, name)) throw refused(name, REFUSED[name]!);
    const isSource = name === '$documents' && i === 0 && (within === '$lookup' || within === '$unionWith');
    if (Object.hasOwn(ELSEWHERE, name) && !isSource) {
      throw new MongoServerError({
        message: ELSEWHERE[name]!,
        code: INVALID_NAMESPACE,
        codeName: 'InvalidNamespace',
      });
    }
    if (name === '$lookup' || name === '$unionWith') checkJoin(name, spec);
    if (name === '$facet' && isDocument(spec)) {
      for (const facet of Object.values(spec)) if (Array.isArray(facet)) checkStages(facet, '$facet');
    }
  }
}

function checkJoin(name: '$lookup' | '$unionWith', spec: unknown): void {
  const { from, coll, pipeline } = isDocument(spec) ? spec : {};
  if (from !== undefined || coll !== undefined || typeof spec === 'string') {
    throw refused(
      name,
      name === '$lookup'
        ? 'find the other documents by a second request, such as find with $in'
        : 'aggregate each collection and join the results',
    );
  }
  if (Array.isArray(pipeline)) checkStages(pipeline, name);
}

const refused = (name: string, instead: string): MongoInvalidArgumentError =>
  new MongoInvalidArgumentError(
    `${name} can't be used here, as the collections of a node hold only a part of the documents: ${instead}`,
  );

/** @throws MongoInvalidArgumentError when a search would have to be made in several places */
export function checkSearch(pipeline: readonly unknown[], isWhole: boolean): void {
  const name = stageOf(pipeline[0])?.name;
  if (isWhole || name === undefined || !SEARCH_STAGES.has(name)) return;
  throw new MongoInvalidArgumentError(
    `${name} searches one collection, but the documents of this one are in several: search at the nodes, or use $text`,
  );
}

export function isDocument(value: unknown): value is Document {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A whole number from 0 on, of whatever class the driver sends as one; larger ones as the largest that is exact. */
export function countIn(value: unknown): number | undefined {
  const isNumeric =
    typeof value === 'number' ||
    typeof value === 'bigint' ||
    ['Int32', 'Long', 'Double', 'Decimal128'].includes(
      (value as { _bsontype?: string } | null | undefined)?._bsontype ?? '',
    );
  const number = isNumeric ? Number(value) : NaN;
  return Number.isInteger(number) && number >= 0 ? Math.min(number, Number.MAX_SAFE_INTEGER) : undefined;
}
