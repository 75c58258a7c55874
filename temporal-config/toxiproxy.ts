import { join } from 'node:path';
import { DroverError } from '../domain/errors.js';
import { requireBinary } from './binaries.js';
import { freePort } from './free-port.js';
import { accepts, launch, untilReady, type ServerProcess } from './server-process.js';

/** A server on 127.0.0.1 whose connections can be cut and delayed: network faults between two parties for tests. */
export interface Toxiproxy extends ServerProcess {
  /** Opens a port that leads to another one. */
  open(name: string, upstreamPort: number): Promise<NetworkLink>;
}

/** The way from one party to one server. */
export interface NetworkLink {
  readonly name: string;
  readonly port: number;
  /** Connections are closed and new ones refused. */
  refuse(): Promise<void>;
  /** What is sent disappears, in both directions, and connections stay open. */
  swallow(): Promise<void>;
  /** What is sent arrives late, in both directions. */
  delay(ms: number): Promise<void>;
  /** As if nothing had been; connections whose bytes have been swallowed are closed. */
  restore(): Promise<void>;
}

const READY_TIMEOUT_MS = 10_000;

/** @throws DroverError Unavailable when the program is missing or does not start */
export async function startToxiproxy(directory: string): Promise<Toxiproxy> {
  const port = await freePort();
  const log = join(directory, 'toxiproxy.log');
  const server = await launch({
    name: 'Toxiproxy',
    command: await requireBinary('toxiproxy-server'),
    args: ['-host', '127.0.0.1', '-port', String(port)],
    env: { ...process.env, LOG_LEVEL: 'warn' },
    log,
    detached: false,
  });
  await untilReady(server, { name: 'Toxiproxy', log, timeoutMs: READY_TIMEOUT_MS }, () => accepts(port));
  const api = new Api(`http://127.0.0.1:${port}`);
  return { ...server, open: (name, upstreamPort) => openLink(api, name, upstreamPort) };
}

async function openLink(api: Api, name: string, upstreamPort: number): Promise<NetworkLink> {
  const port = await freePort();
  const path = `/proxies/${name}`;
  await api.post('/proxies', {
    name,
    listen: `127.0.0.1:${port}`,
    upstream: `127.0.0.1:${upstreamPort}`,
    enabled: true,
  });
  const inBothDirections = async (type: string, attributes: object) => {
    for (const stream of ['upstream', 'downstream']) await api.post(`${path}/toxics`, { type, stream, attributes });
  };
  return {
    name,
    port,
    refuse: () => api.post(path, { enabled: false }),
    swallow: () => inBothDirections('timeout', { timeout: 0 }),
    delay: (ms) => inBothDirections('latency', { latency: ms, jitter: Math.round(ms / 4) }),
    restore: async () => {
      for (const { name: toxic } of await api.get<{ name: string }[]>(`${path}/toxics`)) {
        await api.delete(`${path}/toxics/${toxic}`);
      }
      await api.post(path, { enabled: true });
    },
  };
}

class Api {
  constructor(private readonly base: string) {}

  async get<T>(path: string): Promise<T> {
    return (await (await this.call(path, {})).json()) as T;
  }

  async post(path: string, body: object): Promise<void> {
    await this.call(path, { method: 'POST', body: JSON.stringify(body) });
  }

  async delete(path: string): Promise<void> {
    await this.call(path, { method: 'DELETE' });
  }

  private async call(path: string, init: RequestInit): Promise<Response> {
    const response = await fetch(this.base + path, init);
    if (response.ok) return response;
    throw new DroverError('Unavailable', `Toxiproxy refuses ${path}: ${response.status} ${await response.text()}`);
  }
}
