import { randomBytes } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, MongoServerError, type Db, type Document } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { requireBinary } from './binaries.js';
import { freePort, isPortFree } from './free-port.js';
import { readJson, writePrivateFile, writePrivateJson } from './private-file.js';
import { isRunning, type ProcessIdentity } from './process-identity.js';
import { accepts, attach, launch, untilReady, type ServerProcess } from './server-process.js';
import { valuesOrThrow } from './task-list.js';

/**
 * A MongoDB server: a replica set on 127.0.0.1, with authentication. It has one member, unless asked for three; signals
 * then go to all of them, and `pid` and `port` are those of the first.
 */
export interface MongodProcess extends ServerProcess {
  readonly name: string;
  readonly members: readonly MongodMember[];
  /** With credentials: a secret. */
  readonly uri: string;
  readonly port: number;
  readonly dir: string;
  /** False when it ran already and was found by its folder. */
  readonly started: boolean;
}

export interface MongodMember extends ServerProcess {
  readonly port: number;
}

export interface MongodOptions {
  /** Name of the replica set; a folder keeps the one it was made with. */
  readonly name: string;
  /** Holds data, log, port and credentials. A second start on it finds all of them again. */
  readonly dir: string;
  /** Taken from the folder, or a free one, unless given. */
  readonly port?: number;
  /** Members of the replica set, 1 by default; a folder keeps the number it was made with. */
  readonly members?: 1 | 3;
  /** Memory for WiredTiger's cache in GiB: 0.25 by default, which is the least that mongod takes. */
  readonly cacheGb?: number;
  /** Size of the oplog in MB. By default mongod's own choice, a part of the free disk space. */
  readonly oplogMb?: number;
  /** Whether it goes on when this process ends. */
  readonly detached?: boolean;
  readonly extraArgs?: readonly string[];
}

/** What a folder remembers from one start to the next. */
interface MongodRecord extends MemberRecord {
  readonly replicaSet: string;
  readonly user: string;
  readonly password: string;
  readonly others?: readonly MemberRecord[];
}

interface MemberRecord {
  readonly port: number;
  readonly process?: ProcessIdentity;
}

const READY_TIMEOUT_MS = 120_000;

const ServerError = { Unauthorized: 13, AuthenticationFailed: 18 } as const;

/**
 * Starts mongod on a folder and returns when it is primary and its user can log in. A mongod that already runs on the
 * folder is left running and returned; of three members those that are down are started.
 *
 * @throws DroverError Unavailable when there is no mongod, its port is taken, or it ends at once
 * @throws DroverError InvalidRequest when `port` is not the one that the folder was made with
 * @example
 * const node = await startMongod({ name: 'us-1', dir: '.drover/nodes/us-1' });
 * const client = await MongoClient.connect(node.uri);
 */
export async function startMongod(options: MongodOptions): Promise<MongodProcess> {
  const { name, dir } = options;
  let record = await prepareFolder(options);
  const down = membersOf(record).filter((member) => !runs(member));
  if (down.length === 0) return toMongod(name, dir, record, false);

  const mongod = await requireBinary('mongod');
  const begun: ServerProcess[] = [];
  try {
    for (const { port } of down) {
      const server = await startMember(mongod, options, record, port);
      begun.push(server);
      record = withProcess(record, port, { pid: server.pid, startedAt: server.startedAt });
      // Written at once: whatever happens to this process now, the next start finds the server.
      await writePrivateJson(recordPath(dir), record);
    }
    await becomePrimaryWithUser(name, record);
  } catch (error) {
    await Promise.all(begun.map((server) => server.stop()));
    throw error;
  }
  return toMongod(name, dir, record, true);
}

async function startMember(
  mongod: string,
  options: MongodOptions,
  record: MongodRecord,
  port: number,
): Promise<ServerProcess> {
  const { name, dir } = options;
  if (!(await isPortFree(port))) {
    throw new DroverError(
      'Unavailable',
      `port ${port} of MongoDB ${name} is taken by another program; stop that, or remove ${dir} to start anew`,
    );
  }
  const suffix = port === record.port ? '' : `-${port}`;
  const [data, log] = [join(dir, `data${suffix}`), join(dir, `mongod${suffix}.log`)];
  await mkdir(data, { recursive: true });
  const server = await launch({
    name: `MongoDB ${name}`,
    command: mongod,
    args: mongodArguments(options, record, { port, data, log }),
    log,
    detached: options.detached ?? false,
  });
  await untilReady(server, { name: `MongoDB ${name}`, log, timeoutMs: READY_TIMEOUT_MS }, () => accepts(port));
  return server;
}

/** The mongod that runs on this folder, or undefined; of three members one is enough. */
export async function findMongod(name: string, dir: string): Promise<MongodProcess | undefined> {
  const record = await readJson<MongodRecord>(recordPath(dir));
  if (record === undefined || !membersOf(record).some(runs)) return undefined;
  return toMongod(name, dir, record, false);
}

/** The URI, with credentials, that the mongod of this folder has whenever it runs; undefined before its first start. */
export async function mongodUri(dir: string): Promise<string | undefined> {
  const record = await readJson<MongodRecord>(recordPath(dir));
  return record === undefined ? undefined : uriOf(record);
}

function recordPath(dir: string): string {
  return join(dir, 'server.json');
}

const membersOf = (record: MongodRecord): readonly MemberRecord[] => [record, ...(record.others ?? [])];

const hostOf = ({ port }: MemberRecord): string => `127.0.0.1:${port}`;

const runs = ({ process }: MemberRecord): boolean => process !== undefined && isRunning(process);

function withProcess(record: MongodRecord, port: number, process: ProcessIdentity): MongodRecord {
  if (port === record.port) return { ...record, process };
  return { ...record, others: record.others!.map((other) => (other.port === port ? { port, process } : other)) };
}

function uriOf(record: MongodRecord): string {
  const { user, password, replicaSet } = record;
  const hosts = membersOf(record).map(hostOf).join(',');
  return `mongodb://${user}:${password}@${hosts}/?replicaSet=${replicaSet}&authSource=admin`;
}

function toMongod(name: string, dir: string, record: MongodRecord, started: boolean): MongodProcess {
  const members = membersOf(record).flatMap(({ port, process }) =>
    process === undefined ? [] : [{ ...attach(process), port }],
  );
  return {
    name,
    dir,
    started,
    members,
    pid: members[0]!.pid,
    startedAt: members[0]!.startedAt,
    port: record.port,
    uri: uriOf(record),
    kill: (signal) => members.forEach((member) => member.kill(signal)),
    stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
    isRunning: () => members.some((member) => member.isRunning()),
  };
}

async function prepareFolder({ name, dir, port, members = 1 }: MongodOptions): Promise<MongodRecord> {
  await mkdir(dir, { recursive: true });
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
    ...(members === 1 ? {} : { others: [{ port: await freePort() }, { port: await freePort() }] }),
  };
  await writePrivateFile(keyFile(dir), `${randomBytes(96).toString('base64')}\n`);
  await writePrivateJson(recordPath(dir), record);
  return record;
}

function keyFile(dir: string): string {
  return join(dir, 'keyfile');
}

function mongodArguments(
  options: MongodOptions,
  record: MongodRecord,
  { port, data, log }: { readonly port: number; readonly data: string; readonly log: string },
): string[] {
  return [
    ...['--replSet', record.replicaSet, '--keyFile', keyFile(options.dir)],
    ...['--bind_ip', '127.0.0.1', '--port', String(port), '--nounixsocket'],
    ...['--dbpath', data, '--logpath', log, '--logappend', '--quiet'],
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
  const direct = { directConnection: true, serverSelectionTimeoutMS: 10_000 };
  const anonymous = membersOf(record).map((member) => new MongoClient(`mongodb://${hostOf(member)}/`, direct));
  try {
    const admins = anonymous.map((client) => client.db('admin'));
    const hello = await admins[0]!.command({ hello: 1 });
    if (hello.setName === undefined) await initiate(admins[0]!, replicaSetOf(record));
    const primary = admins[await untilPrimary(name, admins)]!;
    if (await canLogIn(record)) return;
    // Allowed without a login because there is no user yet, and only from this machine.
    const writeConcern = { w: 'majority' };
    await primary.command({ createUser: record.user, pwd: record.password, roles: ['root'], writeConcern });
  } catch (error) {
    if (!(error instanceof MongoServerError) || error.code !== ServerError.Unauthorized) throw error;
    const message = `the MongoDB on port ${record.port} has another password than the one noted for ${name}`;
    throw new DroverError('Unavailable', message, { cause: error });
  } finally {
    await Promise.all(anonymous.map((client) => client.close()));
  }
}

function replicaSetOf(record: MongodRecord): Document {
  const members = membersOf(record).map((member, _id) => ({ _id, host: hostOf(member) }));
  // On one machine a member that does not answer for two seconds is gone.
  return { _id: record.replicaSet, members, ...(members.length > 1 && { settings: { electionTimeoutMillis: 2_000 } }) };
}

type Admin = Pick<Db, 'command'>;

async function initiate(admin: Admin, config: Document): Promise<void> {
  try {
    await admin.command({ replSetInitiate: config });
  } catch (error) {
    // A replica set that is still loading its configuration has no name yet.
    if (!(error instanceof MongoServerError) || error.codeName !== 'AlreadyInitialized') throw error;
  }
}

/** @returns which of the members it is */
async function untilPrimary(name: string, admins: readonly Admin[]): Promise<number> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const hellos = await Promise.allSettled(admins.map((admin) => admin.command({ hello: 1 })));
    // A member may be away, but not every one.
    if (hellos.every((hello) => hello.status === 'rejected')) valuesOrThrow(hellos);
    const states = hellos.map((hello) => (hello.status === 'fulfilled' ? hello.value : undefined));
    const primary = states.findIndex((state) => state?.isWritablePrimary === true);
    // One that is still copying the data can't be elected when the primary goes.
    const complete = states.every((state) => !state || state.isWritablePrimary === true || state.secondary === true);
    if (primary >= 0 && complete) return primary;
    if (performance.now() > deadline) throw new DroverError('TimedOut', `MongoDB ${name} does not become primary`);
    await sleep(20);
  }
}

async function canLogIn(record: MongodRecord): Promise<boolean> {
  const client = new MongoClient(uriOf(record), { serverSelectionTimeoutMS: 10_000 });
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
