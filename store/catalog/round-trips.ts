import type { Collection } from 'mongodb';

/** How long a router needs to a node and back, as its driver measures it all the time. */
export interface RoundTripDocument {
  _id: { router: string; node: string };
  /** Of the router. */
  region: string;
  ms: number;
  at: Date;
}

/** Routers that are gone are forgotten after this time, seconds. */
export const ROUND_TRIPS_RETENTION_S = 3_600;

/** From one region to one node, over its routers. */
export interface RoundTrip {
  readonly node: string;
  readonly region: string;
  /** Median of what its routers measure. */
  readonly ms: number;
  readonly routers: number;
  /** When one of them last said so. */
  readonly at: Date;
}

/** Latency from each region, measured by the routers in it. */
export class RoundTrips {
  constructor(private readonly collection: Collection<RoundTripDocument>) {}

  async put(router: string, region: string, roundTrips: ReadonlyMap<string, number>): Promise<void> {
    if (roundTrips.size === 0) return;
    const operations = [...roundTrips].map(([node, ms]) => ({
      updateOne: {
        filter: { _id: { router, node } },
        update: { $set: { region, ms }, $currentDate: { at: true } as const },
        upsert: true,
      },
    }));
    // The next ones follow soon: a lost one matters to nobody.
    await this.collection.bulkWrite(operations, { ordered: false, writeConcern: { w: 1 } });
  }

  /** By node and region, in the order of their names. */
  async list(): Promise<RoundTrip[]> {
    const groups = new Map<string, RoundTripDocument[]>();
    for (const each of await this.collection.find({}, { sort: { ms: 1 } }).toArray()) {
      const name = `${each._id.node} ${each.region}`;
      groups.set(name, [...(groups.get(name) ?? []), each]);
    }
    return [...groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, group]) => ({
        node: group[0]!._id.node,
        region: group[0]!.region,
        ms: group[Math.floor((group.length - 1) / 2)]!.ms,
        routers: group.length,
        at: new Date(Math.max(...group.map(({ at }) => at.getTime()))),
      }));
  }
}
