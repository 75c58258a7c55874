import { createHash } from 'node:crypto';
import type { ClientSession, ClusterTime, Document } from 'mongodb';
import { BSON, Long, MongoInvalidArgumentError, Timestamp } from 'mongodb';
import type { NodeName } from '../domain/partition.js';

/** What a session has seen of a node's own clock. */
export interface NodeTimes {
  readonly operationTime: Timestamp;
  /** With the node's signature. */
  readonly clusterTime: ClusterTime;
}

/** What a session has seen of a partition. */
export interface SeenRoute {
  /** Newest epoch that it has gone by. */
  readonly epoch: number;
  /** Whether an owner has something that the session saw elsewhere: the times do not cover that. */
  readonly behind: boolean;
}

/** What another router needs to go on with a session. */
export interface SessionToken {
  readonly times: ReadonlyMap<NodeName, NodeTimes>;
  /** Keyspaces that were used: their partitions that are not named were at {@link FIRST_EPOCH}, if they were used. */
  readonly keyspaces: ReadonlySet<string>;
  /** By the partition's id. */
  readonly routes: ReadonlyMap<string, SeenRoute>;
}

/** Of a partition that has never moved. */
export const FIRST_EPOCH = 1;

const VERSION = 1;
const CHECK_BYTES = 4;

/** Nothing of it is a secret. */
export function encodeToken({ times, keyspaces, routes }: SessionToken): string {
  const named = [...routes].filter(([, { epoch, behind }]) => epoch > FIRST_EPOCH || behind);
  const bytes = BSON.serialize({
    version: VERSION,
    times: [...times].map(([node, { operationTime, clusterTime }]) => ({ node, operationTime, clusterTime })),
    keyspaces: [...keyspaces],
    routes: named.map(([id, { epoch, behind }]) => (behind ? [id, epoch, behind] : [id, epoch])),
  });
  return Buffer.concat([bytes, checkOf(bytes)]).toString('base64url');
}

/** @throws MongoInvalidArgumentError when it is not what {@link encodeToken} gave */
export function decodeToken(token: unknown): SessionToken {
  if (typeof token !== 'string') throw noToken('it is no text');
  const bytes = Buffer.from(token, 'base64url');
  const document = bytes.subarray(0, -CHECK_BYTES);
  if (document.length === 0 || !checkOf(document).equals(bytes.subarray(-CHECK_BYTES))) {
    throw noToken('it is cut off or damaged');
  }
  const { version, times, keyspaces, routes } = BSON.deserialize(document, { promoteLongs: false });
  if (version !== VERSION)
    throw noToken(`its version is ${String(version)}, this client knows ${VERSION}: use the same release`);
  if (!Array.isArray(times) || !Array.isArray(keyspaces) || !Array.isArray(routes)) throw noToken('it lacks a part');
  return {
    times: new Map(times.map(timesOf)),
    keyspaces: new Set(keyspaces.map(String)),
    routes: new Map(routes.map(routeOf)),
  };
}

/** What a session of the driver has seen; undefined before its first answer. */
export function timesOfSession({ operationTime, clusterTime }: ClientSession): NodeTimes | undefined {
  return operationTime === undefined || clusterTime === undefined ? undefined : { operationTime, clusterTime };
}

function timesOf({ node, operationTime, clusterTime }: Document): [NodeName, NodeTimes] {
  const newest: unknown = clusterTime?.clusterTime;
  if (!(operationTime instanceof Timestamp) || !(newest instanceof Timestamp)) throw noToken('it lacks a time');
  // A server would wait for it, in vain.
  if (operationTime.greaterThan(newest)) throw noToken('a time in it lies ahead of its node’s clock');
  return [String(node), { operationTime, clusterTime: clusterTime as ClusterTime }];
}

function routeOf([id, epoch, behind]: readonly unknown[]): [string, SeenRoute] {
  const number = Long.isLong(epoch) ? epoch.toNumber() : epoch;
  if (typeof id !== 'string' || typeof number !== 'number') throw noToken('it lacks an epoch');
  return [id, { epoch: number, behind: behind === true }];
}

const checkOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest().subarray(0, CHECK_BYTES);

const noToken = (why: string): MongoInvalidArgumentError =>
  new MongoInvalidArgumentError(`"continueFrom" must be what session.token() of another session gave: ${why}`);
