/** The three airports are the regions, each with a node of its own. */
export const NODES = [
  { name: 'ewr', region: 'EWR' },
  { name: 'jfk', region: 'JFK' },
  { name: 'lga', region: 'LGA' },
] as const;

export const REGIONS = NODES.map(({ region }) => region);

/** An address of each region's clients (TEST-NET ranges of RFC 5737). */
export const ADDRESSES: Readonly<Record<string, string>> = {
  EWR: '192.0.2.1',
  JFK: '198.51.100.1',
  LGA: '203.0.113.1',
};
