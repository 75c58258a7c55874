import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DroverError } from '../../domain/errors.js';
import { BINARY_NAMES, ensureBinaries, findBinary } from '../../temporal-config/binaries.js';

let root: string;
let environment: NodeJS.ProcessEnv;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drover-binaries-'));
  environment = { PATH: join(root, 'path'), DROVER_CACHE: join(root, 'cache') };
});

afterEach(async () => await rm(root, { recursive: true, force: true }));

async function program(path: string, body: string): Promise<string> {
  const full = join(root, path);
  await mkdir(join(full, '..'), { recursive: true });
  await writeFile(full, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return full;
}

const mongod = (path: string, version: string) => program(path, `echo "db version v${version}"`);

describe('where a program is looked for', () => {
  it('takes the one named by the environment, then the PATH, then the cache', async () => {
    expect(await findBinary('mongod', environment)).toBeUndefined();
    const cached = await mongod('cache/mongod/mongod', '6.0.5');
    expect(await findBinary('mongod', environment)).toBe(cached);
    const onPath = await mongod('path/mongod', '7.0.1');
    expect(await findBinary('mongod', environment)).toBe(onPath);
    const named = await mongod('elsewhere/mongod-8', '8.0.0');
    expect(await findBinary('mongod', { ...environment, DROVER_MONGOD: named })).toBe(named);
  });

  it('passes over a mongod that is too old or does not run', async () => {
    await mongod('path/mongod', '5.0.9');
    expect(await findBinary('mongod', environment)).toBeUndefined();
    const cached = await mongod('cache/mongod/mongod', '6.0.5');
    await program('path/mongod', 'echo "error while loading shared libraries" >&2; exit 127');
    expect(await findBinary('mongod', environment)).toBe(cached);
  });

  it('refuses a program named by the environment that can not be used, and says why', async () => {
    const old = await mongod('old/mongod', '4.4.0');
    await expect(findBinary('mongod', { ...environment, DROVER_MONGOD: old })).rejects.toThrow(
      `DROVER_MONGOD=${old} can't be used: it is version 4.4.0, 6.0 or later is needed`,
    );
  });
});

describe('installing', () => {
  it('says in one line for each program what is missing and how to get it', async () => {
    const failure: unknown = await ensureBinaries(BINARY_NAMES, { environment, ways: ['registry'] }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(DroverError);
    expect((failure as DroverError).code).toBe('Unavailable');
    const lines = (failure as DroverError).message.split('\n');
    expect(lines).toHaveLength(BINARY_NAMES.length);
    BINARY_NAMES.forEach((name, index) => expect(lines[index]).toMatch(new RegExp(`^${name} is missing: .*Run ".+"`)));
    expect(lines[1]).toMatch(/go is not installed.*DROVER_TEMPORAL/);
    expect(await readdir(environment.DROVER_CACHE!)).toEqual([]);
  });

  it('installs once when asked twice at the same time, and leaves no drafts behind', async () => {
    await program(
      'path/go',
      `[ "$1" = version ] && exit 0
echo built >> ${root}/builds
/bin/sleep 0.3
printf '#!/bin/sh\\necho "temporal version 1 (Server 1.29.1, UI 2)"\\n' > "$GOBIN/temporal"
/bin/chmod +x "$GOBIN/temporal"`,
    );
    await mkdir(join(root, 'cache', 'installing.temporal.killed'), { recursive: true });
    const twice = [1, 2].map(() => ensureBinaries(['temporal'], { environment, ways: ['registry'] }));
    const path = join(root, 'cache', 'temporal', 'temporal');
    expect(await Promise.all(twice)).toEqual([{ temporal: path }, { temporal: path }]);
    expect(await readFile(join(root, 'builds'), 'utf8')).toBe('built\n');
    expect(await readdir(join(root, 'cache'))).toEqual(['temporal']);
  });

  it('does not keep what was installed when it does not run', async () => {
    await program('path/go', `[ "$1" = version ] || { echo oops > "$GOBIN/temporal"; }`);
    await expect(ensureBinaries(['temporal'], { environment, ways: ['registry'] })).rejects.toThrow(/does not run/);
    expect(await readdir(join(root, 'cache'))).toEqual([]);
  });
});
