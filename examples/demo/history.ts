import type { AccessRecord } from '../../domain/access.js';
import { clientNetwork } from '../../domain/client-network.js';
import type { Partition } from '../../domain/partition.js';
import { tokensOf } from '../../domain/partition.js';
import type { Token } from '../../domain/token.js';
import { contains } from '../../domain/token.js';
import { tokenOfKey } from '../../store/key-token.js';
import type { Flight } from './flights.js';
import { ADDRESSES } from './places.js';

const HOUR_MS = 3600_000;

/** Accesses of the time before the replay, as the access records that routers would have written, hour by hour. */
export function accessHistory(
  keyspace: string,
  flights: readonly Flight[],
  partitions: readonly Partition[],
): AccessRecord[] {
  const hours = new Map<
    string,
    { partition: string; region: string; time: number; tokens: Map<Token, number>; requests: number }
  >();
  const tokens = new Map<string, Token>();
  for (const { time, origin, carrier } of flights) {
    const token = tokens.get(carrier) ?? tokenOfKey(carrier);
    tokens.set(carrier, token);
    const partition = partitions.find((each) => contains(tokensOf(each), token))!.name;
    const hour = Math.floor(time / HOUR_MS) * HOUR_MS;
    const id = `${partition}/${origin}/${hour}`;
    const entry = hours.get(id) ?? {
      partition,
      region: origin,
      time: hour,
      tokens: new Map<Token, number>(),
      requests: 0,
    };
    hours.set(id, entry);
    entry.requests += 1;
    entry.tokens.set(token, (entry.tokens.get(token) ?? 0) + 1);
  }
  return [...hours.values()].map(({ partition, region, time, tokens: counted, requests }) => {
    // As in the replay: of each access one read and one write.
    const tokenCounts = [...counted].map(([token, count]) => [token, 2 * count] as const);
    return {
      keyspace,
      partition,
      region,
      time,
      reads: requests,
      writes: requests,
      errors: 0,
      latencyMs: { sum: 0, max: 0 },
      clients: [[clientNetwork(ADDRESSES[region]!)!, 2 * requests] as const],
      tokens: tokenCounts,
    };
  });
}
