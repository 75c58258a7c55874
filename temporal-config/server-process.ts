import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../domain/errors.js';
import { identityOf, isRunning, signalProcess, type ProcessIdentity } from './process-identity.js';

/** A server or worker that runs as a process of its own. */
export interface ServerProcess extends ProcessIdentity {
  /** Sends a signal, SIGTERM by default; nothing happens when the process is gone. */
  kill(signal?: NodeJS.Signals): void;
  /** Ends it and returns when it is gone: SIGTERM, and SIGKILL after its time of grace. */
  stop(): Promise<void>;
  isRunning(): boolean;
}

export interface LaunchOptions {
  /** What it is called in messages. */
  readonly name: string;
  readonly command: string;
  /** Visible to everybody on the machine: no secrets here. */
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Standard output and error are appended here. */
  readonly log: string;
  /** Whether it goes on when this process ends. */
  readonly detached: boolean;
  /** Time between SIGTERM and SIGKILL in ms. */
  readonly graceMs?: number;
}

const GRACE_MS = 20_000;

/**
 * Ends the process given as first argument as soon as its own standard input closes, which happens however the parent
 * dies, also by SIGKILL.
 */
const TETHER = `trap '' INT TERM HUP
read -r _
kill -TERM "$1" 2>/dev/null || exit 0
i=0
while [ $i -lt 100 ] && kill -0 "$1" 2>/dev/null; do sleep 0.1; i=$((i+1)); done
kill -KILL "$1" 2>/dev/null`;

/**
 * Starts a process in its own process group, so that Ctrl-C reaches it only through its parent, in the parent's order.
 *
 * @throws DroverError Unavailable when the program can't be started
 */
export async function launch(options: LaunchOptions): Promise<ServerProcess> {
  await mkdir(dirname(options.log), { recursive: true });
  const log = openSync(options.log, 'a', 0o600);
  try {
    const child = spawn(options.command, options.args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: options.env ?? process.env,
    });
    await spawned(child, options.name);
    const pid = child.pid!;
    if (!options.detached) tether(child, pid);
    child.unref();
    const identity = identityOf(pid);
    if (identity === undefined) throw await failedToStart(options.name, options.log);
    return attach(identity, options.graceMs);
  } finally {
    closeSync(log);
  }
}

/** A handle on a process that was started earlier, perhaps by another process. */
export function attach(identity: ProcessIdentity, graceMs = GRACE_MS): ServerProcess {
  return {
    pid: identity.pid,
    startedAt: identity.startedAt,
    kill: (signal = 'SIGTERM') => void signalProcess(identity, signal),
    stop: () => stopProcess(identity, graceMs),
    isRunning: () => isRunning(identity),
  };
}

/**
 * Calls `probe` until it returns true.
 *
 * @throws DroverError Unavailable, with the end of the log, when the process ends before; TimedOut after `timeoutMs`
 */
export async function untilReady(
  server: ServerProcess,
  { name, log, timeoutMs }: { name: string; log: string; timeoutMs: number },
  probe: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await probe())) {
    if (!server.isRunning()) throw await failedToStart(name, log);
    if (performance.now() > deadline) {
      throw new DroverError('TimedOut', `${name} did not answer within ${timeoutMs / 1000} s; see ${log}`);
    }
    await sleep(25);
  }
}

/** Whether something accepts connections on this port of 127.0.0.1. */
export async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false)); // refused is the answer
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

export async function failedToStart(name: string, log: string): Promise<DroverError> {
  const end = await endOfLog(log);
  return new DroverError('Unavailable', `${name} ended at once${end === '' ? '' : `: ${end}`}; see ${log}`);
}

async function spawned(child: ChildProcess, name: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      reject(new DroverError('Unavailable', `${name} can't be started: ${cause.message}`, { cause }));
    });
  });
}

/** Has a child end when this process does, however it does; for children that were not started by `launch`. */
export function tether(child: ChildProcess, pid: number): void {
  const guard = spawn('/bin/sh', ['-c', TETHER, 'drover-tether', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  (guard.stdin as Socket).unref();
  // The number may be given to another process as soon as the child is gone: the guard must not outlive it.
  child.once('exit', () => guard.kill('SIGKILL'));
}

async function stopProcess(identity: ProcessIdentity, graceMs: number): Promise<void> {
  signalProcess(identity, 'SIGTERM');
  if (await gone(identity, graceMs)) return;
  signalProcess(identity, 'SIGKILL');
  if (await gone(identity, 10_000)) return;
  throw new DroverError('TimedOut', `process ${identity.pid} does not end, even by SIGKILL`);
}

async function gone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (isRunning(identity)) {
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

/** The last lines that say something, short enough for one line. Understands mongod's JSON lines. */
async function endOfLog(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Math.min(size, 64 * 1024);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const lines = buffer.toString('utf8').trim().split('\n');
    const serious = lines.filter((line) => /"s":"[EF]"/.test(line)).map(mongodMessage);
    return (serious.length > 0 ? serious : lines).slice(-2).join(' | ').slice(0, 400);
  } finally {
    await file.close();
  }
}

function mongodMessage(line: string): string {
  const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? line;
  const error = /"error":"([^"]*)"/.exec(line)?.[1];
  return error === undefined ? message : `${message}: ${error}`;
}
