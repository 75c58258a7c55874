/** Makes sure that the servers for development, demonstration and tests are on this machine. */
import { DroverError } from '../domain/errors.js';
import { BINARY_NAMES, describeBinary, ensureBinaries } from './binaries.js';

try {
  const paths = await ensureBinaries(BINARY_NAMES, { progress: true });
  const found = await Promise.all(BINARY_NAMES.map((name) => describeBinary(name, paths[name])));
  console.log(`Servers: ${found.join(', ')}`);
} catch (error) {
  if (!(error instanceof DroverError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
