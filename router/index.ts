export type { DroverClientOptions } from './client.js';
export type { ClientStatus } from './client-status.js';
export { DroverClient, DroverDatabase } from './client.js';
export { DroverCollection } from './collection.js';
export type { Routed } from './session.js';
export { DroverSession } from './session.js';
export { DroverError, ErrorCode } from '../domain/errors.js';
