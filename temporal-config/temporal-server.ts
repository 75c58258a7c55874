import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { DroverError } from '../domain/errors.js';
import { requireBinary } from './binaries.js';
import { freePort, isPortFree } from './free-port.js';
import { readJson, writePrivateJson } from './private-file.js';
import { isRunning, type ProcessIdentity } from './process-identity.js';
import { missingSearchAttributes, registerSearchAttributes, SEARCH_ATTRIBUTES } from './search-attributes.js';
import { accepts, attach, launch, untilReady, type ServerProcess } from './server-process.js';

/** Temporal's development server on 127.0.0.1, with its state in a SQLite file. */
export interface TemporalProcess extends ServerProcess {
  /** `host:port` of the frontend. */
  readonly address: string;
  readonly port: number;
  readonly namespace: string;
  /** Undefined when started without the UI. */
  readonly uiUrl: string | undefined;
  readonly dir: string;
  /** False when it ran already and was found by its folder. */
  readonly started: boolean;
}

export interface TemporalOptions {
  /** Holds state, log and ports. A second start on it finds all of them again. */
  readonly dir: string;
  /** Whether to serve the web UI, by default yes. */
  readonly ui?: boolean;
  /** Whether it goes on when this process ends. */
  readonly detached?: boolean;
  readonly extraArgs?: readonly string[];
}

interface TemporalRecord {
  readonly port: number;
  readonly uiPort: number;
  readonly ui: boolean;
  readonly process?: ProcessIdentity;
}

const NAMESPACE = 'default';
const READY_TIMEOUT_MS = 60_000;

/**
 * Starts the server on a folder and returns when it answers and knows Drover's search attributes. One that already runs
 * on the folder is left running and returned.
 *
 * @throws DroverError Unavailable when there is no Temporal CLI, a port is taken, or it ends at once
 */
export async function startTemporal(options: TemporalOptions): Promise<TemporalProcess> {
  const { dir } = options;
  const running = await findTemporal(dir);
  if (running !== undefined) return running;

  const temporal = await requireBinary('temporal');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const known = await readJson<TemporalRecord>(recordPath(dir));
  const record: TemporalRecord = {
    port: known?.port ?? (await freePort()),
    uiPort: known?.uiPort ?? (await freePort()),
    ui: options.ui ?? true,
  };
  for (const port of record.ui ? [record.port, record.uiPort] : [record.port]) {
    if (await isPortFree(port)) continue;
    throw new DroverError(
      'Unavailable',
      `port ${port} of Temporal is taken by another program; stop that, or remove ${dir} to start anew`,
    );
  }
  const log = join(dir, 'temporal.log');
  const server = await launch({
    name: 'Temporal',
    command: temporal,
    args: temporalArguments(options, record),
    log,
    detached: options.detached ?? false,
  });
  await writePrivateJson(recordPath(dir), { ...record, process: { pid: server.pid, startedAt: server.startedAt } });
  try {
    const waiting = { name: 'Temporal', log, timeoutMs: READY_TIMEOUT_MS };
    await untilReady(server, waiting, () => accepts(record.port));
    await untilReady(server, waiting, () => answers(addressOf(record)));
    if (record.ui) await untilReady(server, waiting, () => accepts(record.uiPort));
  } catch (error) {
    await server.stop();
    throw error;
  }
  return toTemporal(dir, record, server, true);
}

/** The server that runs on this folder, or undefined. */
export async function findTemporal(dir: string): Promise<TemporalProcess | undefined> {
  const record = await readJson<TemporalRecord>(recordPath(dir));
  if (record?.process === undefined || !isRunning(record.process)) return undefined;
  return toTemporal(dir, record, attach(record.process), false);
}

/** The address that the server of this folder has whenever it runs; undefined before its first start. */
export async function temporalAddress(dir: string): Promise<string | undefined> {
  const record = await readJson<TemporalRecord>(recordPath(dir));
  return record === undefined ? undefined : addressOf(record);
}

/**
 * Makes a Temporal server that someone else runs ready for Drover.
 *
 * @throws DroverError Unavailable when it does not answer, or refuses the search attributes
 */
export async function prepareTemporal(address: string, namespace: string, apiKey?: string): Promise<void> {
  const connection = await Connection.connect({
    address,
    connectTimeout: '5s',
    ...(apiKey === undefined ? {} : { apiKey, tls: true }),
  }).catch((cause: unknown) => {
    throw new DroverError('Unavailable', `Temporal at ${address} (TEMPORAL_ADDRESS) does not answer`, { cause });
  });
  try {
    await registerSearchAttributes(connection, namespace);
  } finally {
    await connection.close();
  }
}

function recordPath(dir: string): string {
  return join(dir, 'server.json');
}

function addressOf({ port }: TemporalRecord): string {
  return `127.0.0.1:${port}`;
}

function toTemporal(dir: string, record: TemporalRecord, server: ServerProcess, started: boolean): TemporalProcess {
  const uiUrl = record.ui ? `http://127.0.0.1:${record.uiPort}` : undefined;
  return { ...server, dir, started, address: addressOf(record), port: record.port, namespace: NAMESPACE, uiUrl };
}

function temporalArguments(options: TemporalOptions, record: TemporalRecord): string[] {
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(record.port)],
    ...(record.ui ? ['--ui-port', String(record.uiPort)] : ['--headless']),
    ...['--db-filename', join(options.dir, 'temporal.db'), '--log-level', 'error'],
    // The user's own profile or environment may name another server or namespace.
    ...['--disable-config-file', '--disable-config-env'],
    ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
    ...(options.extraArgs ?? []),
  ];
}

/** The frontend accepts connections before the namespace and the search attributes are there. */
async function answers(address: string): Promise<boolean> {
  try {
    const connection = await Connection.connect({ address, connectTimeout: '5s' });
    try {
      await connection.workflowService.describeNamespace({ namespace: NAMESPACE });
      return (await missingSearchAttributes(connection, NAMESPACE)).length === 0;
    } finally {
      await connection.close();
    }
  } catch {
    return false; // not yet; the caller knows when to give up, and shows the log
  }
}
