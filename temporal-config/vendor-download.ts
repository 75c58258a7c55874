/**
 * Downloads one server from its vendor into a folder and prints the path of the program on the last line. It runs as a
 * process of its own, because neither vendor's library can be stopped when a download hangs.
 */
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { MongoBinary } from 'mongodb-memory-server-core';

const [name, folder] = process.argv.slice(2) as [string, string];

/** The Temporal SDK downloads when it starts a server, and does not say where the program lies. */
async function onlyProgramIn(directory: string): Promise<string> {
  for (const entry of await readdir(directory)) {
    const path = join(directory, entry);
    const found = await stat(path);
    if (found.isFile() && (found.mode & 0o100) !== 0) return path;
  }
  throw new Error('the download held no program');
}

async function toxiproxy(): Promise<string> {
  const system = { linux: 'linux', darwin: 'darwin' }[process.platform as string];
  const machine = { x64: 'amd64', arm64: 'arm64' }[process.arch as string];
  if (system === undefined || machine === undefined) throw new Error(`nobody offers ${name} for this machine`);
  const release = 'https://github.com/Shopify/toxiproxy/releases/download/v2.5.0';
  const response = await fetch(`${release}/toxiproxy-server-${system}-${machine}`).catch((error: Error) => {
    // "fetch failed" alone does not say that there is no way to the site.
    throw error.cause instanceof Error ? error.cause : error;
  });
  if (!response.ok) throw new Error(`the download site answers ${response.status}`);
  const path = join(folder, name);
  await writeFile(path, Buffer.from(await response.arrayBuffer()), { mode: 0o755 });
  return path;
}

async function download(): Promise<string> {
  const executable = { type: 'cached-download', downloadDir: folder } as const;
  switch (name) {
    case 'mongod':
      return await MongoBinary.getPath({ downloadDir: folder });
    case 'temporal':
      await (await TestWorkflowEnvironment.createLocal({ server: { executable } })).teardown();
      return await onlyProgramIn(folder);
    case 'temporal-test-server':
      await (await TestWorkflowEnvironment.createTimeSkipping({ server: { executable } })).teardown();
      return await onlyProgramIn(folder);
    case 'toxiproxy-server':
      return await toxiproxy();
    default:
      throw new Error(`nobody offers ${name}`);
  }
}

try {
  console.log(await download());
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
