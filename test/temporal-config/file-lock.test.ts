import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { withFileLock } from '../../temporal-config/file-lock.js';
import { identityOf } from '../../temporal-config/process-identity.js';

let root: string;
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), 'drover-lock-'))));
afterAll(async () => await rm(root, { recursive: true, force: true }));

it('lets one in at a time and leaves nothing behind, also after an error', async () => {
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 20));
    inside--;
  };
  await Promise.all([1, 2, 3].map(() => withFileLock(join(root, 'a'), work)));
  await expect(withFileLock(join(root, 'a'), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(most).toBe(1);
  expect(await readdir(root)).toEqual([]);
});

it('takes over from a process that is gone, also when its number was given to another', async () => {
  const reused = { pid: process.pid, startedAt: 'long ago', host: hostname() };
  await writeFile(join(root, 'b'), JSON.stringify(reused));
  expect(await withFileLock(join(root, 'b'), () => Promise.resolve('in'))).toBe('in');
});

it('gives up when a living process holds it for too long', async () => {
  await writeFile(join(root, 'c'), JSON.stringify({ ...identityOf(process.ppid), host: hostname() }));
  const attempt = withFileLock(join(root, 'c'), () => Promise.resolve('in'), { timeoutMs: 10 });
  await expect(attempt).rejects.toThrow(`still held by process ${process.ppid}`);
});
