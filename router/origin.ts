import { MongoInvalidArgumentError } from 'mongodb';
import type { Origin } from '../domain/access.js';
import { clientNetwork } from '../domain/client-network.js';

/** Where requests come from: of the user for whom a service makes them. */
export interface OriginOptions {
  /** Address of the client; access records keep its network alone (/24, /48). */
  readonly ip?: string | undefined;
  /** Default: the region of the {@link DroverClient}. */
  readonly region?: string | undefined;
}

/** @throws MongoInvalidArgumentError for anything but texts */
export function originOf({ ip, region }: OriginOptions, ownRegion: string): Origin {
  for (const [name, value] of Object.entries({ ip, region })) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw new MongoInvalidArgumentError(
        `the origin's "${name}" must be a text, such as { ip: '192.0.2.7', region: 'eu' }`,
      );
    }
  }
  // A header that a client made up must not fail its request: what names no network is left out.
  const network = ip === undefined ? undefined : clientNetwork(ip);
  return { region: region ?? ownRegion, ...(network === undefined ? {} : { network }) };
}
