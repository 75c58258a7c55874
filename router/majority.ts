/** Writes count once a majority of the node has them; a weaker concern could lose an acknowledged write in a failover. */
export const MAJORITY = { w: 'majority' } as const;
