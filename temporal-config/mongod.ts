import { randomBytes } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, MongoServerError, type Document } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { requireBinary } from './binaries.js';
import { freePort, isPortFree } from './free-port.js';
import { readJson, writePrivateFile, writePrivateJson } from './private-file.js';
import { isRunning, type ProcessIdentity } from './process-identity.js';
import { accepts, attach, launch, untilReady, type ServerProcess } from './server-process.js';

/** A MongoDB server: a replica set of one member on 127.0.0.1, with authentication. */
export interface MongodProcess extends ServerProcess {
  readonly name: string;
  /** With credentials: a secret. */
  readonly uri: string;
  readonly port: number;
  readonly dir: string;
  /** False when it ran already and was found by its folder. */
  readonly started: boolean;
}

export interface MongodOptions {
  /** Name of the replica set; a folder keeps the one it was made with. */
  readonly name: string;
  /** Holds data, log, port and credentials. A second start on it finds all of them again. */
  readonly dir: string;
  /** Taken from the folder, or a free one, unless given. */
  readonly port?: number;
  /** Memory for WiredTiger's cache in GiB: 0.25 by default, which is the least that mongod takes. */
  readonly cacheGb?: number;
  /** Size of the oplog in MB. By default mongod's own choice, a part of the free disk space. */
  readonly oplogMb?: number;
  /** Whether it goes on when this process ends. */
  readonly detached?: boolean;
  readonly extraArgs?: readonly string[];
}

/** What a folder remembers from one start to the next. */
interface MongodRecord {
  readonly replicaSet: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly process?: ProcessIdentity;
}

const READY_TIMEOUT_MS = 120_000;

const ServerError = { Unauthorized: 13, AuthenticationFailed: 18 } as const;

/**
 * Starts mongod on a folder and returns when it is primary and its user can log in. A mongod that already runs on the
 * folder is left running and returned.
 *
 * @throws DroverError Unavailable when there is no mongod, its port is taken, or it ends at once
 * @throws DroverError InvalidRequest when `port` is not the one that the folder was made with
 * @example
 * const node = await startMongod({ name: 'us-1', dir: '.drover/nodes/us-1' });
 * const client = await MongoClient.connect(node.uri);
 */
export async function startMongod(options: MongodOptions): Promise<MongodProcess> {
  const { name, dir } = options;
  const running = await findMongod(name, dir);
  if (running !== undefined) return running;

  const mongod = await requireBinary('mongod');
  const record = await prepareFolder(options);
  if (!(await isPortFree(record.port))) {
    throw new DroverError(
      'Unavailable',
      `port ${record.port} of MongoDB ${name} is taken by another program; stop that, or remove ${dir} to start anew`,
    );
  }
  const log = join(dir, 'mongod.log');
  const server = await launch({
    name: `MongoDB ${name}`,
    command: mongod,
    args: mongodArguments(options, record, log),
    log,
    detached: options.detached ?? false,
  });
  // Written at once: whatever happens to this process now, the next start finds the server.
  await writePrivateJson(recordPath(dir), { ...record, process: { pid: server.pid, startedAt: server.startedAt } });
  try {
    await untilReady(server, { name: `MongoDB ${name}`, log, timeoutMs: READY_TIMEOUT_MS }, () => accepts(record.port));
    await becomePrimaryWithUser(name, record);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return toMongod(name, dir, record, server, true);
}

/** The mongod that runs on this folder, or undefined. */
export async function findMongod(name: string, dir: string): Promise<MongodProcess | undefined> {
  const record = await readJson<MongodRecord>(recordPath(dir));
  if (record?.process === undefined || !isRunning(record.process)) return undefined;
  return toMongod(name, dir, record, attach(record.process), false);
}

/** The URI, with credentials, that the mongod of this folder has whenever it runs; undefined before its first start. */
export async function mongodUri(dir: string): Promise<string | undefined> {
  const record = await readJson<MongodRecord>(recordPath(dir));
  return record === undefined ? undefined : uriOf(record);
}

function recordPath(dir: string): string {
  return join(dir, 'server.json');
}

function uriOf({ user, password, port, replicaSet }: MongodRecord): string {
  return `mongodb://${user}:${password}@127.0.0.1:${port}/?replicaSet=${replicaSet}&authSource=admin`;
}

function toMongod(
  name: string,
  dir: string,
  record: MongodRecord,
  server: ServerProcess,
  started: boolean,
): MongodProcess {
  return { ...server, name, dir, started, port: record.port, uri: uriOf(record) };
}

async function prepareFolder({ name, dir, port }: MongodOptions): Promise<MongodRecord> {
  await mkdir(join(dir, 'data'), { recursive: true });
  await chmod(dir, 0o700);
  const known = await readJson<MongodRecord>(recordPath(dir));
  if (known !== undefined) {
    if (port !== undefined && port !== known.port) {
      throw new DroverError('InvalidRequest', `${dir} holds a MongoDB for port ${known.port}, not ${port}`);
    }
    return known;
  }
  const record: MongodRecord = {
    replicaSet: name,
    port: port ?? (await freePort()),
    user: 'drover',
    password: randomBytes(24).toString('hex'),
  };
  await writePrivateFile(keyFile(dir), `${randomBytes(96).toString('base64')}\n`);
  await writePrivateJson(recordPath(dir), record);
  return record;
}

function keyFile(dir: string): string {
  return join(dir, 'keyfile');
}

function mongodArguments(options: MongodOptions, record: MongodRecord, log: string): string[] {
  return [
    ...['--replSet', record.replicaSet, '--keyFile', keyFile(options.dir)],
    ...['--bind_ip', '127.0.0.1', '--port', String(record.port), '--nounixsocket'],
    ...['--dbpath', join(options.dir, 'data'), '--logpath', log, '--logappend', '--quiet'],
    ...['--wiredTigerCacheSizeGB', String(options.cacheGb ?? 0.25)],
    ...(options.oplogMb === undefined ? [] : ['--oplogSize', String(options.oplogMb)]),
    // A member that is alone has nobody to hand over to before it stops.
    ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
    ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
    ...(options.extraArgs ?? []),
  ];
}

/** Every step looks first whether it was done, so that a start that was cut off is finished by the next one. */
async function becomePrimaryWithUser(name: string, record: MongodRecord): Promise<void> {
  const host = `127.0.0.1:${record.port}`;
  const direct = { directConnection: true, serverSelectionTimeoutMS: 10_000 };
  const anonymous = new MongoClient(`mongodb://${host}/`, direct);
  try {
    const admin = anonymous.db('admin');
    const hello = await admin.command({ hello: 1 });
    if (hello.setName === undefined) {
      await initiate(admin, { _id: record.replicaSet, members: [{ _id: 0, host }] });
    }
    await untilPrimary(name, () => admin.command({ hello: 1 }));
    if (await canLogIn(record, direct)) return;
    // Allowed without a login because there is no user yet, and only from this machine.
    await admin.command({ createUser: record.user, pwd: record.password, roles: ['root'] });
  } catch (error) {
    if (!(error instanceof MongoServerError) || error.code !== ServerError.Unauthorized) throw error;
    const message = `the MongoDB on port ${record.port} has another password than the one noted for ${name}`;
    throw new DroverError('Unavailable', message, { cause: error });
  } finally {
    await anonymous.close();
  }
}

async function initiate(admin: { command(command: Document): Promise<Document> }, config: Document): Promise<void> {
  try {
    await admin.command({ replSetInitiate: config });
  } catch (error) {
    // A replica set that is still loading its configuration has no name yet.
    if (!(error instanceof MongoServerError) || error.codeName !== 'AlreadyInitialized') throw error;
  }
}

async function untilPrimary(name: string, hello: () => Promise<Document>): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while ((await hello()).isWritablePrimary !== true) {
    if (performance.now() > deadline) throw new DroverError('TimedOut', `MongoDB ${name} does not become primary`);
    await sleep(20);
  }
}

async function canLogIn(record: MongodRecord, direct: object): Promise<boolean> {
  const client = new MongoClient(`mongodb://127.0.0.1:${record.port}/?authSource=admin`, {
    ...direct,
    auth: { username: record.user, password: record.password },
  });
  try {
    await client.db('admin').command({ ping: 1 });
    return true;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === ServerError.AuthenticationFailed) return false;
    throw error;
  } finally {
    await client.close();
  }
}
