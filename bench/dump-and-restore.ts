import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DATABASE } from './mover.js';
import type { TwoNodes } from './two-nodes.js';

export const DUMP = 'mongodump | mongorestore';

/** On the PATH, or in the folder that `MONGO_TOOLS` names. */
const tool = (name: string): string => (process.env['MONGO_TOOLS'] ? join(process.env['MONGO_TOOLS'], name) : name);

/** Whether the MongoDB Database Tools are there. */
export async function hasTools(): Promise<boolean> {
  for (const name of ['mongodump', 'mongorestore']) {
    const version = spawn(tool(name), ['--version'], { stdio: 'ignore' });
    const [code] = (await once(version, 'exit').catch(() => [1])) as [number];
    if (code !== 0) return false;
  }
  return true;
}

/** @returns seconds */
export async function dumpAndRestore(nodes: TwoNodes): Promise<number> {
  const beganAt = performance.now();
  const dump = spawn(tool('mongodump'), [`--uri=${nodes.source.uri}`, `--db=${DATABASE}`, '--archive', '--quiet'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const restore = spawn(
    tool('mongorestore'),
    [`--uri=${nodes.target.uri}`, '--archive', '--numInsertionWorkersPerCollection=4', '--quiet'],
    { stdio: ['pipe', 'inherit', 'inherit'] },
  );
  const ends = Promise.all([once(dump, 'exit'), once(restore, 'exit')]);
  await pipeline(dump.stdout, restore.stdin);
  for (const [code] of await ends) if (code !== 0) throw new Error(`${DUMP} has failed (${String(code)})`);
  return (performance.now() - beganAt) / 1000;
}
