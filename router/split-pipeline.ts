import type { Document } from 'mongodb';
import { groupingOf } from './grouping.js';
import { SORT_KEY } from './merge.js';
import type { Accumulation } from './partial-group.js';
import type { KeyOrder } from './sort-key.js';
import { BY_DISTANCE, orderOfSort, orderOfValue, setKey } from './sort-key.js';
import { changesNothingElse, keepingKey, mentionsAll } from './stage-effects.js';
import type { Stage } from './stages.js';
import { countIn, isDocument, METADATA_STAGES, stageOf } from './stages.js';

/** A step of the work on what the nodes have sent. Its stages do all of it where a server is given all documents at once. */
export type MergeStep =
  /** Looks at each document by itself. */
  | { readonly kind: 'each'; readonly stages: readonly Document[] }
  | {
      readonly kind: 'sort';
      readonly stages: readonly Document[];
      /** Unknown where texts are compared by a collation. */
      readonly order: KeyOrder | undefined;
      readonly limit: number;
    }
  | { readonly kind: 'window'; readonly stages: readonly Document[]; readonly skip: number; readonly limit: number }
  /** Partial groups, where there is an order by their `_id`. */
  | {
      readonly kind: 'fold';
      readonly stages: readonly Document[];
      readonly order: KeyOrder | undefined;
      readonly accumulation: Accumulation;
    }
  | {
      readonly kind: 'group';
      readonly stages: readonly Document[];
      readonly partial: Document;
      readonly accumulation: Accumulation;
    }
  /** Has to see all documents at once. */
  | { readonly kind: 'whole'; readonly stages: readonly Document[] };

/** A pipeline for documents that are in several places. */
export interface SplitPipeline {
  /** What each node does with its documents. */
  readonly nodes: readonly Document[];
  /** In which what the nodes send is merged; they send the sort key, too. Without it, in any. */
  readonly order?: KeyOrder;
  /** Of what is merged. */
  readonly skip: number;
  readonly limit: number;
  readonly merge: readonly MergeStep[];
}

/** Stages that make of each document what they make of it whatever the others are, and leave them in their order. */
const EACH = new Set([
  ...['$match', '$project', '$set', '$addFields', '$unset', '$unwind', '$replaceRoot', '$replaceWith', '$redact'],
  // Without another collection.
  '$lookup',
  ...METADATA_STAGES,
]);

/**
 * Cuts a pipeline: as much as possible is done by the nodes. What is not known here, or a server refuses, is left to one server
 * with all documents.
 *
 * @param collated whether texts are compared by a collation, whose order only servers know
 */
export function splitPipeline(pipeline: readonly Document[], collated = false): SplitPipeline {
  const splitter = new Splitter(collated);
  for (const each of pipeline) splitter.add(each, stageOf(each));
  return splitter.done();
}

class Splitter {
  private readonly nodes: Document[] = [];
  private readonly merge: MergeStep[] = [];
  private order: KeyOrder | undefined;
  /** Whether the documents of the nodes have the key of the order by now. */
  private isKeyed = false;
  private skip = 0;
  private limit = Infinity;
  private isMerging = false;

  constructor(private readonly collated: boolean) {}

  add(each: Document, stage: Stage | undefined): void {
    if (this.isMerging) this.addToMerge(each, stage);
    else this.addToNodes(each, stage);
  }

  done(): SplitPipeline {
    const { order, nodes, skip, limit, merge } = this;
    const [next] = merge;
    if (next?.kind === 'sort' && next.order === undefined && next.limit < Infinity && !this.isWindowed()) {
      // No node has more of the first ones.
      nodes.push(...next.stages, { $limit: next.limit });
    }
    this.setKey();
    return { nodes, ...(order && { order }), skip, limit, merge };
  }

  private isWindowed(): boolean {
    return this.skip > 0 || this.limit < Infinity;
  }

  private addToNodes(each: Document, stage: Stage | undefined): void {
    const { name, spec } = stage ?? { name: '', spec: undefined };
    if (stage === undefined || isMalformed(stage)) this.mergeFrom(each, stage);
    else if (name === '$geoNear' && this.nodes.length === 0) this.sort(each, BY_DISTANCE);
    else if (name === '$skip') this.window(countIn(spec)!, Infinity);
    else if (name === '$limit') this.window(0, countIn(spec)!);
    else if (this.isWindowed() ? !this.isWithoutFail(each, stage) : !this.isForNodes(each, stage)) {
      this.mergeFrom(each, stage);
    }
  }

  /** After a limit the nodes do only what can't fail: other documents may be behind it. @returns whether it was added */
  private isWithoutFail(each: Document, stage: Stage): boolean {
    return changesNothingElse(stage) && this.addEach(each, stage);
  }

  private isForNodes(each: Document, stage: Stage): boolean {
    return EACH.has(stage.name) ? this.addEach(each, stage) : this.reduce(each, stage);
  }

  private addEach(each: Document, stage: Stage): boolean {
    const kept = this.order === undefined ? each : keepingKey(each, stage);
    if (kept === undefined) return false;
    this.setKey();
    this.nodes.push(kept);
    return true;
  }

  private sort(each: Document, order: KeyOrder): void {
    this.nodes.push(each);
    this.order = order;
    this.isKeyed = false;
  }

  private setKey(): void {
    if (this.order === undefined || this.isKeyed) return;
    this.nodes.push(setKey(this.order.key));
    this.isKeyed = true;
  }

  /** A stage that needs all documents, but whose work the nodes can begin. @returns whether they do */
  private reduce(each: Document, { name, spec }: Stage): boolean {
    switch (name) {
      case '$sort':
        if (this.collated) return false;
        this.sort(each, orderOfSort(spec)!);
        return true;
      case '$sample':
        this.order = orderOfValue({ $rand: {} });
        this.isKeyed = false;
        this.setKey();
        this.nodes.push({ $sort: { [SORT_KEY]: 1 } });
        this.window(0, countIn((spec as Document)['size'])!);
        return true;
      default:
        return this.group({ name, spec });
    }
  }

  private group(stage: Stage): boolean {
    const grouping = groupingOf(stage);
    // What comes in an order is merged first where the result rests on it.
    if (grouping === undefined || (grouping.accumulation.isOrdered && this.order !== undefined)) return false;
    // Nor is a key to be seen.
    if (this.isKeyed && mentionsAll(stage.spec)) return false;
    const { partial, accumulation, after } = grouping;
    if ('$sort' in (this.nodes.at(-1) ?? {})) this.nodes.pop();
    this.nodes.push(partial);
    this.order = undefined;
    if (!this.collated) {
      // So that partial groups of all nodes meet, and any number of groups can pass.
      this.order = orderOfValue('$_id');
      this.isKeyed = false;
      this.setKey();
      this.nodes.push({ $sort: { [SORT_KEY]: 1 } });
    }
    this.isMerging = true;
    const { order } = this;
    const ofGroups = { kind: 'fold', order, accumulation } as const;
    this.merge.push({ ...ofGroups, stages: [...accumulation.fold, ...accumulation.final, { $sort: { _id: 1 } }] });
    // Buckets are in order already.
    if (stage.name !== '$bucket' || this.collated) for (const each of after) this.add(each, stageOf(each));
    return true;
  }

  private mergeFrom(each: Document, stage: Stage | undefined): void {
    this.isMerging = true;
    this.addToMerge(each, stage);
  }

  private window(skip: number, limit: number): void {
    this.skip += skip;
    const rest = Math.min(limit, Math.max(0, this.limit - skip));
    if (rest < this.limit && limit < Infinity) this.nodes.push({ $limit: this.skip + rest });
    this.limit = rest;
  }

  private addToMerge(each: Document, stage: Stage | undefined): void {
    const last = this.merge.at(-1);
    if (last?.kind === 'whole') this.replaceLast({ ...last, stages: [...last.stages, each] });
    else if (stage === undefined || isMalformed(stage)) this.merge.push({ kind: 'whole', stages: [each] });
    else if (stage.name === '$skip' || stage.name === '$limit') this.windowOfMerge(each, stage);
    else if (stage.name === '$sort') {
      const order = this.collated ? undefined : orderOfSort(stage.spec)!;
      this.merge.push({ kind: 'sort', stages: [each], order, limit: Infinity });
    } else if (EACH.has(stage.name)) {
      if (last?.kind === 'each') this.replaceLast({ kind: 'each', stages: [...last.stages, each] });
      else this.merge.push({ kind: 'each', stages: [each] });
    } else this.groupOfMerge(each, stage);
  }

  private windowOfMerge(each: Document, { name, spec }: Stage): void {
    const count = countIn(spec)!;
    const last = this.merge.at(-1);
    const before = this.merge.at(-2);
    const { skip, limit, stages } = last?.kind === 'window' ? last : { skip: 0, limit: Infinity, stages: [] };
    const window =
      name === '$skip'
        ? { skip: skip + count, limit: Math.max(0, limit - count) }
        : { skip, limit: Math.min(limit, count) };
    const sort = last?.kind === 'sort' ? last : last?.kind === 'window' && before?.kind === 'sort' ? before : undefined;
    if (sort !== undefined) {
      this.merge[this.merge.indexOf(sort)] = { ...sort, limit: Math.min(sort.limit, window.skip + window.limit) };
    }
    const step: MergeStep = { kind: 'window', stages: [...stages, each], ...window };
    if (last?.kind === 'window') this.replaceLast(step);
    else this.merge.push(step);
  }

  private groupOfMerge(each: Document, stage: Stage): void {
    const grouping = groupingOf(stage);
    if (grouping === undefined) {
      this.merge.push({ kind: 'whole', stages: [each] });
      return;
    }
    const { partial, accumulation, after, stage: group } = grouping;
    this.merge.push({ kind: 'group', stages: [group], partial, accumulation });
    for (const next of after) this.addToMerge(next, stageOf(next));
  }

  private replaceLast(step: MergeStep): void {
    this.merge[this.merge.length - 1] = step;
  }
}

/** Whether a stage that could be taken apart is written in a way that is not known here, such as a wrong one. */
function isMalformed({ name, spec }: Stage): boolean {
  switch (name) {
    case '$sort':
      return orderOfSort(spec) === undefined;
    case '$skip':
      return countIn(spec) === undefined;
    case '$limit':
      return !((countIn(spec) ?? 0) > 0);
    case '$sample':
      return !isDocument(spec) || Object.keys(spec).length !== 1 || !((countIn(spec['size']) ?? 0) > 0);
    case '$group':
      return !isDocument(spec) || !('_id' in spec);
    case '$count':
      return typeof spec !== 'string' || spec === '_id' || !/^[^$.\0][^.\0]*$/.test(spec);
    case '$sortByCount':
      return typeof spec === 'string'
        ? !spec.startsWith('$')
        : !isDocument(spec) || Object.keys(spec)[0]?.startsWith('$') !== true;
    case '$bucket':
      return !isDocument(spec);
    default:
      return false;
  }
}
