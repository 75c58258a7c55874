import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** The folder of Drover's `package.json`, whether this runs compiled or from source. */
export const PROJECT_ROOT = findRoot();

/**
 * Path of a compiled file. Child processes can only run compiled files, also when the parent runs from source, as it
 * does under the test runner.
 *
 * @example compiledFile('client/main.js')
 */
export function compiledFile(path: string): string {
  return join(PROJECT_ROOT, 'dist', path);
}
