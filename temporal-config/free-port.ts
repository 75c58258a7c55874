import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { DroverError } from '../domain/errors.js';

/**
 * Below the range from which operating systems take ports for outgoing connections: a port that a server keeps across
 * restarts must not be borrowed by a passing connection while the server is down.
 */
const LOWEST = 20_000;
const HIGHEST = 29_999;

/** Ports given out by this process; servers that start in parallel have not bound theirs yet. */
const givenOut = new Set<number>();

/** A port on 127.0.0.1 that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if (givenOut.has(port) || !(await isPortFree(port))) continue;
    givenOut.add(port);
    return port;
  }
  throw new DroverError('Unavailable', `no free port between ${LOWEST} and ${HIGHEST}`);
}

/** Whether a server could listen on this port of 127.0.0.1 now. */
export async function isPortFree(port: number): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    probe.listen({ port, host: '127.0.0.1' }, () => probe.close(() => resolve(true)));
  });
}
