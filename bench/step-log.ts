import type { Document, Filter, MongoClient } from 'mongodb';
import type { ClusterTime, Partition } from '../domain/partition.js';
import { sides } from '../domain/handover.js';
import { CHECKPOINTS, MARKERS } from '../store/checkpoint.js';
import { partitionFromBson, timeToBson } from '../store/codec.js';

/**
 * When each part of a boundary step was done, as the servers' own change logs have it, to the millisecond. They are read
 * after the run: nobody watches while it is measured.
 */
export const PARTS = [
  'routers acknowledge',
  'collMod closes',
  'marker written',
  'marker applied',
  'owned',
  'received',
  'collMod opens',
  'settled',
] as const;
export type Part = (typeof PARTS)[number];

export interface LoggedStep {
  readonly begin: number;
  readonly settle: number;
  /** It ended where it had begun: a step that was undone holds writes back, too. */
  readonly undone: boolean;
  /**
   * Time of each part since the one before it, milliseconds; parts that left no entry are missing. Those of a step that
   * was undone mean nothing: its second `collMod` looks like its first.
   */
  readonly parts: Partial<Record<Part, number>>;
}

export interface StepLogOptions {
  readonly catalog: MongoClient;
  readonly catalogDatabase: string;
  readonly nodes: Readonly<Record<string, MongoClient>>;
  readonly database: string;
  /** Id of the partition in the catalog. */
  readonly partition: string;
  /** Logical time of the catalog and of each node before the first step. */
  readonly since: { readonly catalog: ClusterTime; readonly nodes: Readonly<Record<string, ClusterTime>> };
}

interface Entry {
  readonly at: number;
  readonly part: Part;
}

export async function stepLog(options: StepLogOptions): Promise<LoggedStep[]> {
  const { catalog, catalogDatabase, partition, since } = options;
  const read = (client: MongoClient, from: ClusterTime, filter: Filter<Document>) =>
    client
      .db('local')
      .collection('oplog.rs')
      .find({ ts: { $gte: timeToBson(from) }, ...filter }, { readConcern: { level: 'local' } })
      .toArray();

  const routes = await read(catalog, since.catalog, { ns: `${catalogDatabase}.partitions`, 'o._id': partition });
  const acknowledged = await read(catalog, since.catalog, {
    ns: `${catalogDatabase}.acknowledgements`,
    'o2._id.partition': partition,
  });
  const onNodes = new Map<string, Document[]>();
  for (const [node, client] of Object.entries(options.nodes)) {
    onNodes.set(node, await read(client, since.nodes[node]!, nodeEntries(options.database)));
  }

  const steps: LoggedStep[] = [];
  let fencing: { readonly partition: Partition; readonly at: number } | undefined;
  let owned: number | undefined;
  for (const { o, wall } of routes) {
    const state = partitionFromBson(o as Document);
    const at = (wall as Date).getTime();
    const kind = state.handover?.state.kind;
    if (kind === 'fencing' && fencing === undefined) fencing = { partition: state, at };
    else if (kind === 'owned') owned ??= at;
    else if (kind === 'idle' && fencing !== undefined) {
      const { epoch } = fencing.partition;
      const entries: Entry[] = acknowledged
        .filter((entry) => acknowledgedEpoch(entry['o'] as Document) === epoch)
        .map((entry) => ({ at: wallOf(entry), part: 'routers acknowledge' }));
      for (const [node, log] of onNodes)
        entries.push(...log.flatMap((entry) => nodeEntry(entry, node, fencing!.partition)));
      if (owned !== undefined) entries.push({ at: owned, part: 'owned' });
      entries.push({ at, part: 'settled' });
      steps.push({ begin: fencing.at, settle: at, undone: owned === undefined, parts: parts(fencing.at, at, entries) });
      fencing = owned = undefined;
    }
  }
  return steps;
}

const nodeEntries = (database: string): Filter<Document> => ({
  $or: [
    { ns: `${database}.$cmd`, 'o.collMod': { $exists: true } },
    { ns: `${database}.${MARKERS}`, op: 'i' },
    { ns: `${database}.${CHECKPOINTS}`, op: 'u' },
    // A transaction that applies a marker names it in the checkpoint that it moves on.
    { ns: 'admin.$cmd', 'o.applyOps.o.diff.u.marker': { $exists: true } },
  ],
});

function nodeEntry(entry: Document, node: string, fencing: Partition): Entry[] {
  const state = fencing.handover?.state;
  if (state?.kind !== 'fencing') return [];
  const { losing, gaining } = sides(fencing, state.direction);
  const at = wallOf(entry);
  const o = entry['o'] as Document;
  if (o['collMod'] !== undefined) {
    return [{ at, part: node === losing ? 'collMod closes' : 'collMod opens' }];
  }
  if (entry['op'] === 'i') return node === losing ? [{ at, part: 'marker written' }] : [];
  if (o['applyOps'] !== undefined) return node === gaining ? [{ at, part: 'marker applied' }] : [];
  return node === losing ? [{ at, part: 'received' }] : [];
}

/** Durations, of the entries that fall into the step: each part since the one before it that left an entry. */
function parts(begin: number, settle: number, entries: readonly Entry[]): Partial<Record<Part, number>> {
  const durations: Partial<Record<Part, number>> = {};
  let before = begin;
  for (const part of PARTS) {
    const times = entries.filter((each) => each.part === part && each.at >= before && each.at <= settle);
    // The last router's acknowledgement counts; everything else is done once.
    const pick = part === 'routers acknowledge' ? Math.max : Math.min;
    if (times.length === 0) continue;
    const at = pick(...times.map((each) => each.at));
    durations[part] = at - before;
    before = at;
  }
  return durations;
}

/** Of the row that was written, or of the change to it. */
const acknowledgedEpoch = (o: Document): number =>
  Number(o['epoch'] ?? (o['diff'] as { u?: { epoch?: unknown } } | undefined)?.u?.epoch);

const wallOf = (entry: Document): number => (entry['wall'] as Date).getTime();
