import { DroverError } from '../domain/errors.js';

/** For requests that were not sent. What was under way fails with the driver's own error. */
export const clientClosed = (): DroverError =>
  new DroverError('Unavailable', 'this client is closed, and the request was not sent: use one that is connected');
