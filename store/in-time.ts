import { DroverError } from '../domain/errors.js';

/**
 * A server that hangs keeps a request until the driver gives its connection up, whatever the request's own time limit is.
 *
 * @throws DroverError `Unavailable` when the node's answer is not there in time
 */
export async function inTime<T>(node: string, answer: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const message = `node "${node}" did not answer within ${ms / 1000} s`;
    timer = setTimeout(() => reject(new DroverError('Unavailable', message)), ms);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
