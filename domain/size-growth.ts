import type { TimedValue } from './growth.js';
import { shareOf, trend } from './growth.js';
import type { NodeName } from './partition.js';
import type { Token } from './token.js';

const DAY_MS = 24 * 3_600_000;

/** Growth is that of the last week: working days and weekends count as they come. */
export const GROWTH_SPAN_MS = 7 * DAY_MS;

/** What was known longer ago says nothing of how something grows now. */
const FRESH_MS = 2 * DAY_MS;

/** How large a partition was, on its owner. */
export interface SizeReading {
  /** Drover's time, milliseconds. */
  readonly time: number;
  readonly node: NodeName;
  readonly documents: number;
  /** Uncompressed size of the documents: the same on every node. */
  readonly bytes: number;
  /** As this node stores them, with their indexes; absent where it does not tell. */
  readonly bytesOnDisk?: number;
  /** In a collection with others, whose documents have the same size on average as far as anybody knows: bytes are an estimate. */
  readonly estimated?: true;
  /** The busiest entities; bytes are an estimate. */
  readonly entities?: readonly EntityReading[];
}

export type EntityReading = readonly [token: Token, documents: number, bytes: number];

/**
 * A partition's part of a collection that others are in, too. By the mean of all of its documents, as that of a few of the partition's own
 * jumps with whichever these are, which would look like growth.
 *
 * @param documents of the partition
 */
export function partOfSize<Size extends Pick<SizeReading, 'documents' | 'bytes' | 'bytesOnDisk'>>(
  all: Size,
  documents: number,
): Pick<SizeReading, 'documents' | 'bytes' | 'bytesOnDisk' | 'estimated'> {
  const part = (bytes: number) => Math.round((documents * bytes) / Math.max(1, all.documents));
  return {
    ...{ documents, bytes: part(all.bytes), estimated: true },
    ...(all.bytesOnDisk === undefined ? {} : { bytesOnDisk: part(all.bytesOnDisk) }),
  };
}

/** By what a partition becomes larger in a day, or smaller where it is negative. */
export interface SizeGrowth {
  /** Of uncompressed documents, so that a move to another node is no growth. */
  readonly bytesPerDay: number;
  readonly documentsPerDay: number;
  /** The bytes as a share of their median; null of a partition that was empty. */
  readonly sharePerDay: number | null;
  /** Of a partition that shares its collection with others: the bytes are an estimate, the documents are not. */
  readonly estimated: boolean;
}

/**
 * Growth of a partition's size.
 *
 * @param readings of the last week, oldest first; hours may be missing
 * @param now the end of that week
 * @returns undefined where there are fewer than four, also since it has come into a collection with others or left it, or the newest is
 *   of more than two days ago
 */
export function sizeGrowth(readings: readonly SizeReading[], now: number): SizeGrowth | undefined {
  const estimated = readings.at(-1)?.estimated === true;
  // Whatever an estimate was off by would be growth on the way into a collection of its own, and out of it.
  const alike = readings.filter((each) => (each.estimated === true) === estimated);
  const bytes = freshTrend(alike.map(({ time, bytes: value }) => ({ time, value })), now); // prettier-ignore
  const documents = freshTrend(readings.map(({ time, documents: value }) => ({ time, value })), now); // prettier-ignore
  if (bytes === undefined || documents === undefined) return undefined;
  return {
    bytesPerDay: bytes.perUnit,
    documentsPerDay: documents.perUnit,
    sharePerDay: shareOf(bytes) ?? null,
    estimated,
  };
}

/** How large an entity is within its partition, where it was among the busiest. */
export interface EntitySize {
  readonly documents: number;
  /** An estimate. */
  readonly bytes: number;
  /** Of its partition's documents, in [0, 1]. */
  readonly share: number;
  /** Null where too little is known. */
  readonly documentsPerDay: number | null;
}

/**
 * Size and growth of an entity, of the readings of its partition.
 *
 * @returns undefined where it was not looked at within the last two days
 */
export function entitySize(readings: readonly SizeReading[], token: Token, now: number): EntitySize | undefined {
  const known = readings.flatMap(({ time, documents: all, entities = [] }) => {
    const found = entities.find(([each]) => each === token);
    return found === undefined ? [] : [{ time, value: found[1], bytes: found[2], all }];
  });
  const newest = known.at(-1);
  if (newest === undefined || isStale(newest, now)) return undefined;
  return {
    documents: newest.value,
    bytes: newest.bytes,
    // It is counted a moment after the partition.
    share: Math.min(1, newest.value / Math.max(1, newest.all)),
    documentsPerDay: freshTrend(known, now)?.perUnit ?? null,
  };
}

/** What is known of the size of a partition that a node owns. */
export interface OwnedSize {
  readonly keyspace: string;
  readonly partition: string;
  readonly growth: SizeGrowth | undefined;
  readonly newest: SizeReading | undefined;
}

export type GrowingPartition = SizeGrowth & Pick<OwnedSize, 'keyspace' | 'partition'>;

/** Growth of what a node owns, and what it comes from; null where that is unknown. */
export interface NodeGrowth {
  /** Sums over the partitions whose growth is known. */
  readonly bytesPerDay: number | null;
  readonly documentsPerDay: number | null;
  /** How many partitions that are, and of how many it is not known. */
  readonly known: number;
  readonly unknown: number;
  /** The bytes as the node stores them, with indexes. */
  readonly diskBytesPerDay: number | null;
  /** Until the disk is full, if all goes on like this; null, too, where nothing grows, or the growth of some is unknown. */
  readonly daysUntilDiskFull: number | null;
  /** Those that grow, or shrink, the most of growth first. */
  readonly partitions: readonly GrowingPartition[];
}

/**
 * Growth of a node: the sum of what its partitions grow by. On its disk a byte of data takes what it takes of what is there: compression
 * and indexes go along.
 *
 * @param diskFreeBytes undefined where the node does not tell
 */
export function nodeGrowth(
  node: NodeName,
  partitions: readonly OwnedSize[],
  diskFreeBytes: number | undefined,
): NodeGrowth {
  const growing = partitions.flatMap(({ keyspace, partition, growth }): GrowingPartition[] =>
    growth === undefined ? [] : [{ keyspace, partition, ...growth }],
  );
  const sum = (of: (growth: SizeGrowth) => number) =>
    growing.length === 0 ? null : growing.reduce((total, growth) => total + of(growth), 0);
  const bytesPerDay = sum((growth) => growth.bytesPerDay);
  const perByte = diskBytesPerByte(node, partitions);
  const diskBytesPerDay = bytesPerDay === null || perByte === undefined ? null : bytesPerDay * perByte;
  const unknown = partitions.length - growing.length;
  const fills = unknown === 0 && diskBytesPerDay !== null && diskBytesPerDay > 0 && diskFreeBytes !== undefined;
  return {
    bytesPerDay,
    documentsPerDay: sum((growth) => growth.documentsPerDay),
    known: growing.length,
    unknown,
    diskBytesPerDay,
    daysUntilDiskFull: fills ? diskFreeBytes / diskBytesPerDay : null,
    partitions: growing
      .filter((each) => each.bytesPerDay !== 0 || each.documentsPerDay !== 0)
      .sort((a, b) => b.bytesPerDay - a.bytesPerDay),
  };
}

/** What was read on another node, before a move, says nothing of this one's disk. */
function diskBytesPerByte(node: NodeName, partitions: readonly OwnedSize[]): number | undefined {
  const here = partitions.flatMap(({ newest }) => (newest?.node === node ? [newest] : []));
  const told = here.filter(({ bytesOnDisk }) => bytesOnDisk !== undefined);
  const bytes = told.reduce((total, reading) => total + reading.bytes, 0);
  const onDisk = told.reduce((total, { bytesOnDisk }) => total + bytesOnDisk!, 0);
  return bytes > 0 ? onDisk / bytes : undefined;
}

const isStale = ({ time }: { readonly time: number }, now: number): boolean => time < now - FRESH_MS;

function freshTrend(points: readonly TimedValue[], now: number) {
  const newest = points.at(-1);
  return newest === undefined || isStale(newest, now) ? undefined : trend(points, DAY_MS);
}
