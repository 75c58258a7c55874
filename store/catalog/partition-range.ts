/** Partitions of a keyspace by name, both ends included; without them, all. */
export interface PartitionRange {
  readonly first?: string;
  readonly last?: string;
}

/** As a condition on a field that holds the name of a partition. */
export const inRange = (field: string, { first, last }: PartitionRange): Record<string, object> =>
  first === undefined && last === undefined
    ? {}
    : { [field]: { ...(first === undefined ? {} : { $gte: first }), ...(last === undefined ? {} : { $lte: last }) } };
