import type { Broken } from './child.js';

export interface SoakSettings {
  readonly uri: string;
  readonly nodes: Readonly<Record<string, string>>;
  readonly database: string;
  readonly collection: string;
  readonly documents: number;
  readonly concurrency: number;
}

/** What an application holds while none of its requests is under way. */
export interface Census {
  readonly requests: number;
  readonly failed: number;
  /** After garbage has been collected, megabytes. */
  readonly heapMb: number;
  readonly rssMb: number;
  /** Event listeners on the driver's clients. */
  readonly listeners: number;
  /** Sessions that are there to be used again. */
  readonly sessions: number;
  /** Open timers, sockets and the like of the process. */
  readonly handles: number;
  /** Requests that the routes still have as being under way, cursors included. */
  readonly underWay: number;
  /** Requests that wait for a hand-over, and records that wait for the catalog. */
  readonly waiting: number;
  /** Messages of some of the failures. */
  readonly failures: readonly string[];
}

export type ToSoak =
  { readonly kind: 'start'; readonly settings: SoakSettings } | { readonly kind: 'census' } | { readonly kind: 'stop' };

export type FromSoak =
  { readonly kind: 'started' | 'stopped' } | { readonly kind: 'counted'; readonly census: Census } | Broken;
