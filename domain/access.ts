import type { WithBytes } from './access-bytes.js';
import type { Token } from './token.js';

/** Where a request comes from, as access records have it. */
export interface Origin {
  readonly region: string;
  /** An address prefix such as `10.1.0.0/16`. */
  readonly network?: string;
  /** Who it is for, by a number in place of an address (entity-sessions.ts): to tell users apart in memory, never stored. */
  readonly user?: number;
}

/**
 * What one router saw of one partition on one node, from one region, during one flush interval: an access record.
 *
 * Counts are requests, not documents. Latency is the time from the call to its acknowledgement at the application,
 * in milliseconds. Figures per entity and per client network are kept for the busiest ones only, everything else is in the
 * totals: a deliberate narrowing, so that a record has a bounded size. What is optional is missing in records of before there
 * was such a thing, and in those that were not made by a router.
 */
export interface AccessRecord extends WithBytes {
  readonly keyspace: string;
  readonly partition: string;
  /** Node that served the requests; absent in records that were not made by a router. */
  readonly node?: string;
  /** Region the requests came from. */
  readonly region: string;
  /** Start of the interval, milliseconds since the epoch. */
  readonly time: number;
  readonly reads: number;
  readonly writes: number;
  readonly errors: number;
  readonly latencyMs: {
    /** Sum and maximum over the requests. */
    readonly sum: number;
    readonly max: number;
    /** Requests per bin of a quantile sketch (store/latency-sketch.ts). */
    readonly bins?: readonly (readonly [bin: number, requests: number])[];
  };
  /** Requests per client network (an address prefix such as `10.1.0.0/16`), busiest first, for the busiest. */
  readonly clients: readonly (readonly [network: string, requests: number])[];
  /** Of all client networks: the smallest of their hashes (distinct-count.ts). */
  readonly distinctClients?: readonly bigint[];
  /** Requests per token, busiest first, for the busiest. */
  readonly tokens: readonly (readonly [token: Token, requests: number])[];
}

export const MAX_TOKENS_PER_RECORD = 64;
export const MAX_CLIENTS_PER_RECORD = 64;

/** Latencies of one partition and region at some quantiles, milliseconds, over the requests that a sketch is known of. */
export interface AccessLatency {
  readonly partition: string;
  readonly region: string;
  readonly requests: number;
  readonly latencyMs: readonly number[];
}

/** Access records of one partition and region, added up over one window of the grid `start + n * lengthMs`. */
export interface AccessWindow extends WithBytes {
  readonly partition: string;
  readonly region: string;
  /** Milliseconds since the epoch; a multiple of the window's length. */
  readonly start: number;
  readonly reads: number;
  readonly writes: number;
  readonly errors: number;
  readonly latencyMsSum: number;
  readonly latencyMsMax: number;
  readonly clients: readonly (readonly [network: string, requests: number])[];
  /** Only known for a longer stretch of time: this is its even share. */
  readonly spread?: boolean;
}
