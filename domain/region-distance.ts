/** From the routers of a region to a node and back, milliseconds. */
export interface RegionRoundTrip {
  readonly node: string;
  readonly region: string;
  readonly ms: number;
}

/** Where even the farthest is nearer than this, everybody is in one place, and differences are chance. */
const LEAST_MS = 10;

/**
 * How far regions are from a node, in [0, 1]: 1 is the farthest that any region is from any node. Regions without a router, of which
 * nothing has been measured, are at the distance 1.
 */
export function distanceFrom(node: string, roundTrips: readonly RegionRoundTrip[]): (region: string) => number {
  const farthest = Math.max(0, ...roundTrips.map(({ ms }) => ms));
  const known = new Map(roundTrips.filter((each) => each.node === node).map(({ region, ms }) => [region, ms]));
  return (region) => {
    const ms = known.get(region);
    return ms === undefined || farthest < LEAST_MS ? 1 : ms / farthest;
  };
}
