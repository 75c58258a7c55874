import type { QueryShape } from './query-shape.js';

/**
 * What one router saw of requests of one shape, from one region, during one interval. Beyond some hundred requests in an interval only a
 * random part of them is looked at, each for several: then the figures are estimates.
 */
export interface ShapeRecord {
  readonly keyspace: string;
  /** Absent where requests concerned several partitions. */
  readonly partition?: string;
  readonly region: string;
  /** Start of the interval, milliseconds since the epoch. */
  readonly time: number;
  readonly shape: QueryShape;
  readonly requests: number;
  readonly errors: number;
  /** Of those whose latency is known: as access records have it. */
  readonly latencyMs: {
    readonly sum: number;
    readonly max: number;
    readonly bins: readonly (readonly [bin: number, requests: number])[];
  };
}
