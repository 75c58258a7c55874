import type { Broken } from './child.js';

export const OPERATIONS = ['findOne', 'insertOne', 'updateOne', 'deleteOne', 'find'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Where a process sends its requests: by Drover's router, with and without access records, or the plain driver. */
export interface RequestSettings {
  readonly through: 'router' | 'router without records' | 'driver';
  /** The catalog for a router, the node for the driver. */
  readonly uri: string;
  /** Addresses of nodes by name, for a router. */
  readonly nodes: Readonly<Record<string, string>>;
  readonly database: string;
  readonly collection: string;
  readonly documents: number;
}

/** So many requests at once, one after the other each, for so long. */
export interface RequestSlice {
  readonly operation: Operation;
  readonly concurrency: number;
  readonly ms: number;
}

export interface RequestResult {
  readonly perSecond: number;
  /** Of a request, milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Of the process per request, user and system, microseconds. */
  readonly cpuMicros: number;
}

export type ToRequests =
  | { readonly kind: 'start'; readonly settings: RequestSettings }
  | { readonly kind: 'measure'; readonly slice: RequestSlice }
  | { readonly kind: 'stop' };

export type FromRequests =
  { readonly kind: 'started' | 'stopped' } | { readonly kind: 'measured'; readonly result: RequestResult } | Broken;
