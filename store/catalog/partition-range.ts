/** Partitions of a keyspace by name: those of a list, or from a first to a last one; without either, all. */
export interface PartitionRange {
  readonly among?: readonly string[];
  readonly first?: string;
  readonly last?: string;
}

/** As a condition on a field that holds the name of a partition. */
export function inRange(field: string, { among, first, last }: PartitionRange): Record<string, object> {
  const condition = {
    ...(among === undefined ? {} : { $in: among }),
    ...(first === undefined ? {} : { $gte: first }),
    ...(last === undefined ? {} : { $lte: last }),
  };
  return Object.keys(condition).length === 0 ? {} : { [field]: condition };
}
