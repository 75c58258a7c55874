import type { Document } from 'mongodb';
import type { Piece } from './pieces.js';
import { within } from './pieces.js';
import { isDocument, METADATA_STAGES, stageOf } from './stages.js';
import type { Wanted } from './wanted.js';
import { wantedBy } from './wanted.js';

/** The keys that a pipeline begins with: nothing has been changed before its first `$match` stages. */
export function wantedByPipeline(pipeline: readonly Document[], keyField: string, collated: boolean): Wanted {
  const filters: unknown[] = [];
  for (const [i, each] of pipeline.entries()) {
    const stage = stageOf(each);
    if (stage?.name === '$match') filters.push(stage.spec);
    else if (stage?.name === '$geoNear' && i === 0) filters.push(isDocument(stage.spec) ? stage.spec['query'] : {});
    else break;
  }
  return wantedBy({ $and: filters }, keyField, collated);
}

/** The pipeline for one piece. What has to be its first stage stays that. */
export function pipelineWithin(pipeline: readonly Document[], piece: Pick<Piece, 'restriction' | 'node'>): Document[] {
  const [first, ...others] = pipeline;
  const stage = stageOf(first);
  // As a sharded cluster shows them.
  if (stage !== undefined && METADATA_STAGES.has(stage.name)) {
    return [first!, { $addFields: { shard: piece.node } }, ...others];
  }
  if (piece.restriction === undefined) return [...pipeline];
  const { spec } = stage ?? {};
  if (stage?.name === '$match') {
    // Of what is no filter the server says so.
    return isFilter(spec) ? [{ $match: within(spec, piece) }, ...others] : [...pipeline];
  }
  if (stage?.name === '$geoNear' && isDocument(spec)) {
    return [{ $geoNear: { ...spec, query: within(spec['query'] as Document | undefined, piece) } }, ...others];
  }
  return [{ $match: piece.restriction }, ...pipeline];
}

const isFilter = (spec: unknown): spec is Document =>
  typeof spec === 'object' && spec !== null && !Array.isArray(spec) && !('_bsontype' in spec);
