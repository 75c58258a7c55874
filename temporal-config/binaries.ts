import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { execa } from 'execa';
import { DroverError } from '../domain/errors.js';
import type { BinaryName } from './binary-name.js';
import { withFileLock } from './file-lock.js';
import { INSTALL_WAYS, recipeFor, type InstallWay } from './install-recipes.js';
import { runTasks } from './task-list.js';

export { BINARY_NAMES, type BinaryName } from './binary-name.js';

interface BinaryTraits {
  /** Names the program by path; goes before everything else. */
  readonly variable: string;
  /** Arguments that make it say something and end. */
  readonly checkArgs: readonly string[];
  /** What it says when it is the right program; the first group is its version. */
  readonly check: RegExp;
  readonly minimumMajor?: number;
  /** How a user gets it, apart from naming it by the variable. */
  readonly remedy: () => string;
}

const TRAITS: Readonly<Record<BinaryName, BinaryTraits>> = {
  mongod: {
    variable: 'DROVER_MONGOD',
    checkArgs: ['--version'],
    check: /db version v(\S+)/,
    minimumMajor: 6,
    remedy: () =>
      perSystem('brew tap mongodb/brew && brew install mongodb-community', 'apt-get install -y python3-pip'),
  },
  temporal: {
    variable: 'DROVER_TEMPORAL',
    checkArgs: ['--version'],
    check: /temporal version .*Server ([\d.]+)/,
    remedy: () => perSystem('brew install temporal', 'apt-get install -y golang'),
  },
  'temporal-test-server': {
    variable: 'DROVER_TEMPORAL_TEST_SERVER',
    checkArgs: [],
    check: /enable-time-skipping()/,
    remedy: () => perSystem('brew install maven', 'apt-get install -y maven'),
  },
  'toxiproxy-server': {
    variable: 'DROVER_TOXIPROXY',
    checkArgs: ['-version'],
    // Built from its module it calls its version "git".
    check: /toxiproxy-server version ([\d.]*)/,
    remedy: () => perSystem('brew install shopify/shopify/toxiproxy', 'apt-get install -y golang'),
  },
};

/** A program that was found and has been run once. */
interface FoundBinary {
  readonly path: string;
  /** Empty where the program does not tell. */
  readonly version: string;
}

/** Where Drover keeps what it installs: outside the clone, so that it survives it. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.DROVER_CACHE ?? join(environment.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'drover');
}

/**
 * Path of a program that is already on this machine: the one named by the environment (`DROVER_MONGOD`,
 * `DROVER_TEMPORAL`, `DROVER_TEMPORAL_TEST_SERVER`, `DROVER_TOXIPROXY`), else on the PATH, else in Drover's cache. Each
 * is run once before it is trusted. Installs nothing; undefined when there is none.
 *
 * @throws DroverError InvalidConfiguration when the environment names a program that can't be used
 */
export async function findBinary(
  name: BinaryName,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  return (await find(name, environment))?.path;
}

/**
 * Like {@link findBinary}, for when it must be there.
 *
 * @throws DroverError Unavailable with the command that installs it
 */
export async function requireBinary(name: BinaryName): Promise<string> {
  const path = await findBinary(name);
  if (path === undefined) throw new DroverError('Unavailable', missing(name, ['it was not installed yet']));
  return path;
}

export interface EnsureOptions {
  /** Shows what is being installed. */
  readonly progress?: boolean;
  readonly environment?: NodeJS.ProcessEnv;
  /** Where to get what is missing, in this order: by default the vendor's download, then a package registry. */
  readonly ways?: readonly InstallWay[];
}

/**
 * Finds the programs and installs into the cache what is missing, all at the same time. Safe when several processes do
 * it at once: one installs, the others wait for it.
 *
 * @returns the path of each
 * @throws DroverError Unavailable when some can't be had: one line for each, with the command that installs it
 */
export async function ensureBinaries<Name extends BinaryName>(
  names: readonly Name[],
  { progress = false, environment = process.env, ways = INSTALL_WAYS }: EnsureOptions = {},
): Promise<Record<Name, string>> {
  const paths = {} as Record<Name, string>;
  const found = await Promise.all(names.map((name) => find(name, environment)));
  names.forEach((name, index) => {
    if (found[index] !== undefined) paths[name] = found[index].path;
  });
  const toInstall = names.filter((name) => paths[name] === undefined);
  if (toInstall.length === 0) return paths;

  const results = await runTasks(
    toInstall.map((name) => ({ title: name, run: (report) => install(name, { environment, ways, report }) })),
    progress,
  );
  const complaints: string[] = [];
  results.forEach((result, index) => {
    if (result.status === 'fulfilled') paths[toInstall[index]!] = result.value;
    else complaints.push((result.reason as Error).message);
  });
  if (complaints.length > 0) throw new DroverError('Unavailable', complaints.join('\n'));
  return paths;
}

/** What is there, for people: `mongod 6.0.5`. Runs the program. */
export async function describeBinary(name: BinaryName, path: string): Promise<string> {
  const version = (await tryRun(name, path)).version;
  return version === undefined || version === '' ? name : `${name} ${version}`;
}

async function find(name: BinaryName, environment: NodeJS.ProcessEnv): Promise<FoundBinary | undefined> {
  const { variable } = TRAITS[name];
  const named = environment[variable];
  if (named !== undefined && named !== '') {
    const attempt = await tryRun(name, named);
    if (attempt.problem === undefined) return { path: named, version: attempt.version };
    throw new DroverError('InvalidConfiguration', `${variable}=${named} can't be used: ${attempt.problem}`);
  }
  const onPath = (environment.PATH ?? '')
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name));
  for (const path of [...onPath, cachedPath(name, environment)]) {
    if (!(await isExecutable(path))) continue;
    const attempt = await tryRun(name, path);
    if (attempt.problem === undefined) return { path, version: attempt.version };
  }
  return undefined;
}

function cachedPath(name: BinaryName, environment: NodeJS.ProcessEnv): string {
  return join(cacheDirectory(environment), name, name);
}

async function install(
  name: BinaryName,
  { environment, ways, report }: { environment: NodeJS.ProcessEnv; ways: readonly InstallWay[]; report: Report },
): Promise<string> {
  const cache = cacheDirectory(environment);
  await mkdir(cache, { recursive: true });
  const path = cachedPath(name, environment);
  const work = async (): Promise<string> => {
    // Another process may have installed it while this one waited for the lock.
    if ((await isExecutable(path)) && (await tryRun(name, path)).problem === undefined) return path;
    await removeLeftovers(cache, name);
    const reasons: string[] = [];
    for (const way of ways) {
      const folder = await mkdtemp(join(cache, draftPrefix(name)));
      try {
        await recipeFor(name, way)({ folder, environment, report });
        const { problem } = await tryRun(name, join(folder, name));
        if (problem !== undefined) throw new Error(`what was installed does not run (${problem})`);
        await rm(join(cache, name), { recursive: true, force: true });
        await rename(folder, join(cache, name));
        report('installed');
        return path;
      } catch (error) {
        reasons.push((error as Error).message);
        await rm(folder, { recursive: true, force: true });
      }
    }
    throw new Error(missing(name, reasons));
  };
  return await withFileLock(join(cache, `${name}.lock`), work, {
    onWait: (pid) => report(`waiting for process ${pid}, which is installing it`),
  });
}

type Report = (text: string) => void;

function draftPrefix(name: BinaryName): string {
  return `installing.${name}.`;
}

/** Only the holder of the lock installs, so every other draft is of an installation that was killed. */
async function removeLeftovers(cache: string, name: BinaryName): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (entry.startsWith(draftPrefix(name))) await rm(join(cache, entry), { recursive: true, force: true });
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false, // not there, or not to be run, is the answer
  );
}

type Attempt =
  { readonly problem: string; readonly version?: never } | { readonly problem?: never; readonly version: string };

async function tryRun(name: BinaryName, path: string): Promise<Attempt> {
  const { checkArgs, check, minimumMajor } = TRAITS[name];
  const result = await execa(path, checkArgs, { reject: false, all: true, stdin: 'ignore', timeout: 30_000 });
  const match = check.exec(result.all ?? '');
  if (match === null) {
    const said = (result.all ?? '').trim().split('\n').at(-1);
    return { problem: said === undefined || said === '' ? (result.message ?? 'it says nothing') : said };
  }
  const version = match[1] ?? '';
  if (minimumMajor !== undefined && Number.parseInt(version, 10) < minimumMajor) {
    return { problem: `it is version ${version}, ${minimumMajor}.0 or later is needed` };
  }
  return { version };
}

function perSystem(onMac: string, elsewhere: string): string {
  return process.platform === 'darwin' ? onMac : elsewhere;
}

function missing(name: BinaryName, reasons: readonly string[]): string {
  const { variable, remedy } = TRAITS[name];
  return `${name} is missing: ${reasons.join('; ')}. Run "${remedy()}" and try again, or set ${variable} to its path.`;
}
