/**
 * Brings a fresh clone to where anything can run: packages, compiled code, servers. `npm run demo` and `npm test` start
 * with it; when nothing is missing it takes a second. It may import nothing that `npm ci` has yet to install.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Drover needs Node 20.19 or later; this is ${process.versions.node}. With nvm: nvm install 22`);
}

if (changedAt('package-lock.json') > changedAt('node_modules/.package-lock.json')) {
  console.log('Installing packages (about a minute) ...');
  // Development packages too, whatever NODE_ENV says: the compiler is one. `prepare` compiles at the end.
  runNpm(['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
}

const compiled = 'dist/.tsbuildinfo';
if (newestSource() > changedAt(compiled)) {
  console.log('Compiling ...');
  runNode(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']);
  runNode(['dist/workers/bundle.js']);
  // The compiler leaves the file alone when only times had changed.
  utimesSync(join(root, compiled), new Date(), new Date());
}

runNode(['dist/temporal-config/install.js']);

/** Time of the last change in ms; 0 when the file isn't there. */
function changedAt(path) {
  const file = join(root, path);
  return existsSync(file) ? statSync(file).mtimeMs : 0;
}

function newestSource() {
  const skipped = new Set(['node_modules', 'dist']);
  let newest = Math.max(changedAt('tsconfig.json'), changedAt('package.json'));
  for (const folder of readdirSync(root, { withFileTypes: true })) {
    if (!folder.isDirectory() || folder.name.startsWith('.') || skipped.has(folder.name)) continue;
    for (const file of readdirSync(join(root, folder.name), { recursive: true })) {
      if (file.endsWith('.ts')) newest = Math.max(newest, changedAt(join(folder.name, file)));
    }
  }
  return newest;
}

function runNpm(args) {
  // npm names its own script to what it runs; without it, the one on the PATH.
  const script = process.env.npm_execpath;
  const [command, before] = script?.endsWith('.js') ? [process.execPath, [script]] : ['npm', []];
  // npm is talkative, and what it says matters only when it fails.
  const { status, error, stdout, stderr } = spawnSync(command, [...before, ...args], { cwd: root, encoding: 'utf8' });
  if (error) fail(`npm could not be started: ${error.message}`);
  if (status !== 0) fail(`${stdout}${stderr}`);
}

function runNode(args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error) fail(error.message);
  if (status !== 0) process.exit(status ?? 1);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
