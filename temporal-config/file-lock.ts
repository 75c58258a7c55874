import { open, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../domain/errors.js';
import { readIfPresent } from './private-file.js';
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.js';

/** A lock without a readable owner, or of another machine on a shared disk, is given up after this time (ms). */
const UNKNOWN_OWNER_STALE_MS = 30 * 60_000;
const POLL_MS = 200;

/**
 * Runs `work` while holding the lock file; others, in this process or another, wait. The lock of a process that died is
 * taken over. When two waiters find it stale in the same instant both may get in, so what they do must end in a rename.
 *
 * @throws DroverError TimedOut when another holder is still at work after `timeoutMs`
 */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  { timeoutMs = UNKNOWN_OWNER_STALE_MS, onWait }: { timeoutMs?: number; onWait?: (pid: number) => void } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  while (!(await tryLock(path))) {
    const owner = await lockOwner(path);
    if (owner === 'gone') {
      await rm(path, { force: true });
      continue;
    }
    if (performance.now() > deadline) {
      throw new DroverError('TimedOut', `${path} is still held by process ${owner.pid}`);
    }
    onWait?.(owner.pid);
    await sleep(POLL_MS);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function tryLock(path: string): Promise<boolean> {
  let file;
  try {
    file = await open(path, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  await file.writeFile(JSON.stringify({ ...identityOf(process.pid), host: hostname() }));
  await file.close();
  return true;
}

async function lockOwner(path: string): Promise<ProcessIdentity | 'gone'> {
  const text = await readIfPresent(path);
  if (text === undefined) return 'gone';
  const owner = parseOwner(text);
  if (owner !== undefined && owner.host === hostname()) return isRunning(owner) ? owner : 'gone';
  // The owner may be between creating the file and writing its name, or on another machine: only age tells.
  const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: 0 }))).mtimeMs;
  return age > UNKNOWN_OWNER_STALE_MS ? 'gone' : (owner ?? { pid: 0, startedAt: '' });
}

function parseOwner(text: string): (ProcessIdentity & { host: string }) | undefined {
  try {
    return JSON.parse(text) as ProcessIdentity & { host: string };
  } catch {
    return undefined; // half-written: the owner is still writing it, or died doing so
  }
}
