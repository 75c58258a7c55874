import type { ClientSession } from 'mongodb';

/** Writes count once a majority of the node has them; a weaker concern could lose an acknowledged write in a failover. */
export const MAJORITY = { w: 'majority' } as const;

/** Within a transaction only its commit has a write concern. */
export const majorityWithin = (session: ClientSession) => (session.inTransaction() ? undefined : MAJORITY);
