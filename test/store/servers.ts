import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { Long } from 'mongodb';
import { afterAll, beforeAll } from 'vitest';
import { connect } from '../../store/connect.js';
import type { MongodProcess } from '../../temporal-config/mongod.js';
import { startMongod } from '../../temporal-config/mongod.js';

export interface Servers {
  readonly clients: readonly MongoClient[];
  readonly uris: readonly string[];
}

/** Real MongoDB servers for the tests of a file; those in `ofThree` have three members. */
export function useServers(count: number, extraArgs: readonly string[] = [], ofThree: readonly number[] = []): Servers {
  const clients: MongoClient[] = [];
  const uris: string[] = [];
  let servers: MongodProcess[] = [];
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'drover-store-'));
    servers = await Promise.all(
      Array.from({ length: count }, (_, i) =>
        startMongod({
          name: `n${i}`,
          dir: join(directory, `n${i}`),
          oplogMb: 64,
          extraArgs,
          members: ofThree.includes(i) ? 3 : 1,
        }),
      ),
    );
    uris.push(...servers.map(({ uri }) => uri));
    clients.push(...(await Promise.all(servers.map(({ name, uri }) => connect(uri, name)))));
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(servers.map((server) => server.stop()));
    await rm(directory, { recursive: true, force: true });
  });
  return { clients, uris };
}

/** Waits for something to become true, looking every few milliseconds. */
export async function until(what: string, fulfilled: () => Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await fulfilled())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A 64-bit integer that stays one on its way to the server. */
export const int64 = (value: bigint): Long => Long.fromBigInt(value);
