import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compiledFile } from '../../temporal-config/project-root.js';
import { identityOf, isRunning, type ProcessIdentity } from '../../temporal-config/process-identity.js';
import { attach, launch } from '../../temporal-config/server-process.js';

let root: string;
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), 'drover-process-'))));
afterAll(async () => await rm(root, { recursive: true, force: true }));

/** A parent that starts a sleeping child, says the child's number, and waits. */
async function parentOf(detached: boolean): Promise<{ kill: () => void; child: ProcessIdentity }> {
  const module = pathToFileURL(compiledFile('temporal-config/server-process.js')).href;
  const options = { name: 'sleeper', command: 'sleep', args: ['60'], log: join(root, 'sleeper.log'), detached };
  const script = `const { launch } = await import('${module}');
    console.log((await launch(${JSON.stringify(options)})).pid); setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  return { kill: () => void parent.kill('SIGKILL'), child: identityOf(Number(line.toString()))! };
}

it('ends a child when its parent is killed', async () => {
  const { kill, child } = await parentOf(false);
  expect(isRunning(child)).toBe(true);
  kill();
  await expect.poll(() => isRunning(child)).toBe(false);
});

it('leaves a detached child alone when its parent is killed', async () => {
  const { kill, child } = await parentOf(true);
  kill();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(isRunning(child)).toBe(true);
  await attach(child).stop();
});

it('kills what does not end in its time of grace', async () => {
  const args = ['-c', `trap '' TERM; while :; do sleep 0.05; done`];
  const stubborn = await launch({
    name: 'stubborn',
    command: '/bin/sh',
    args,
    log: join(root, 'stubborn.log'),
    detached: false,
    graceMs: 200,
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await stubborn.stop();
  expect(stubborn.isRunning()).toBe(false);
});

it('never signals another process that got the same number', async () => {
  const bystander = await launch({
    name: 'sleeper',
    command: 'sleep',
    args: ['60'],
    log: join(root, 'b'),
    detached: false,
  });
  await attach({ pid: bystander.pid, startedAt: 'another time' }).stop();
  expect(bystander.isRunning()).toBe(true);
  await bystander.stop();
});
