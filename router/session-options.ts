import type { ClientSessionOptions } from 'mongodb';
import type { OriginOptions } from './origin.js';
import type { NearestReads } from './reading.js';

/** The driver's options, and what only a session over several nodes can have. */
export interface DroverSessionOptions extends ClientSessionOptions {
  /** A token of another session, of this client or another one: reads see at least what that one has seen. */
  readonly continueFrom?: string;
  /** Its reads may go to copies that are nearer than the owner. */
  readonly nearest?: NearestReads;
  /** Its nearest reads of a partition stay at the node that served the first one, as long as they may go there. */
  readonly sticky?: boolean;
  /** Where its requests come from, for the access history. */
  readonly origin?: OriginOptions;
}
