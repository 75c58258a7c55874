import type { Broken } from './child.js';
import type { Waits } from './open-loop.js';

/** What a load process is to do: through Drover's router, or with the plain driver and a gate in front of it. */
export interface LoadSettings {
  readonly through: 'router' | 'gate';
  /** Where the collection is: the catalog for a router, the node that has it at the start for a gate. */
  readonly uri: string;
  /** Addresses of nodes by name, for a router. */
  readonly nodes: Readonly<Record<string, string>>;
  readonly database: string;
  readonly collection: string;
  readonly documents: number;
  /** Writes per second. */
  readonly rate: number;
  readonly seed: number;
}

export type ToLoad =
  | { readonly kind: 'start'; readonly settings: LoadSettings }
  /** Gate only: lets no write pass until `openGate`. */
  | { readonly kind: 'closeGate' }
  | { readonly kind: 'openGate'; readonly uri: string }
  | { readonly kind: 'stop' };

export interface LoadResult extends Waits {
  readonly failed: number;
  /** Messages of some of the failures. */
  readonly failures: readonly string[];
}

export type FromLoad =
  | { readonly kind: 'started' | 'closed' | 'opened' }
  | { readonly kind: 'stopped'; readonly result: LoadResult }
  | Broken;
