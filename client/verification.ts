import type { CopyLimits } from '../domain/copy-limits.js';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import { collectionOn, nodesOf } from '../domain/partition.js';
import { Checkpoint } from '../store/checkpoint.js';
import { differentIndexes, differentOptions, readDefinition } from '../store/collection-definition.js';
import { ping } from '../store/follower.js';
import { giveWay } from '../store/node-pressure.js';
import { partOn } from '../store/part.js';
import { Throttle } from '../store/throttle.js';
import type { VerifyProgress } from '../store/verify.js';
import { verify } from '../store/verify.js';
import type { ControlContext } from './context.js';

const SETTLE_MS = 30_000;

/** Limits are of what is read from both nodes together. */
export interface VerificationRequest extends Partial<CopyLimits> {
  readonly keyspace: string;
  readonly partition: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: VerifyProgress) => void;
}

export interface VerificationReport {
  readonly keyspace: string;
  readonly partition: string;
  readonly source: NodeName;
  readonly target: NodeName;
  /** Documents of the source. */
  readonly compared: number;
  /** Ids (as relaxed extended JSON) of documents that are not the same on both; at most 20. */
  readonly different: readonly string[];
  /** Names of indexes that are not the same on both. */
  readonly differentIndexes: readonly string[];
  /** Names of collection options that are not the same on both. */
  readonly differentOptions: readonly string[];
}

/**
 * Compares the two copies of a partition that is moving, document by document, while it goes on moving and being written.
 *
 * @throws DroverError `Refused` where there is no second copy that could be compared; `Unavailable` when replication does not
 * catch up
 */
export async function verifyCopies(
  { catalog, nodes }: ControlContext,
  { keyspace: name, partition, signal, onProgress, ...limits }: VerificationRequest,
): Promise<VerificationReport> {
  const keyspace = await catalog.keyspaces.get(name);
  const entry = await catalog.partitions.get(name, partition);
  const { handover } = entry;
  if (handover === null || handover.state.kind === 'retiring') {
    throw new DroverError('Refused', `${entry.id} is not moving: it has one copy, and nothing to compare it with`);
  }
  const { migration, target } = handover;
  const source = nodesOf(entry).find((node) => node !== target)!;
  const [from, to] = [await nodes.get(source), await nodes.get(target)];
  const [ours, theirs] = [from.db(keyspace.database), to.db(keyspace.database)];
  const [ownName, copyName] = [collectionOn(entry, source), collectionOn(entry, target)];
  const copied = await new Checkpoint(theirs, migration, 'forward').find();
  if (copied?.copyDone !== true) {
    throw new DroverError('Refused', `${entry.id} is still being copied: "drover migration show" tells how far it is`);
  }
  const bothWays = (await new Checkpoint(ours, migration, 'back').find()) !== undefined;
  const settle = async () => {
    const arrived = await Promise.all([
      ping({ migration, direction: 'forward', origin: ours, destination: theirs }, SETTLE_MS, { signal }),
      bothWays
        ? ping({ migration, direction: 'back', origin: theirs, destination: ours }, SETTLE_MS, { signal })
        : true,
    ]);
    if (arrived.includes(false)) {
      throw new DroverError('Unavailable', `replication of ${entry.id} did not catch up within ${SETTLE_MS / 1000} s`);
    }
  };
  const throttle = Throttle.of(limits);
  const watched = [
    { name: source, client: from, ownWrites: bothWays },
    { name: target, client: to, ownWrites: true },
  ];
  const { compared, different } = await giveWay(watched, throttle, () => undefined, () =>
    verify({
      source: from,
      target: to,
      database: keyspace.database,
      collection: ownName,
      copy: copyName,
      part: partOn(keyspace.dimensions[0].field, entry, source, target),
      throttle,
      signal: signal ?? new AbortController().signal,
      onProgress: onProgress ?? (() => undefined),
      settle,
    }),
  ); // prettier-ignore
  const [one, other] = await Promise.all([readDefinition(ours, ownName), readDefinition(theirs, copyName)]);
  if (one === undefined || other === undefined) {
    throw new DroverError('Refused', `${keyspace.database}.${ownName} was dropped or renamed meanwhile`);
  }
  return {
    keyspace: name,
    partition,
    source,
    target,
    compared,
    different,
    differentIndexes: differentIndexes(one, other),
    differentOptions: differentOptions(one.options, other.options),
  };
}
