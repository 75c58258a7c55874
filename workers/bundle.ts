import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/** Built once, by `npm run build`; tests and workers run the same bundle. */
const BUNDLE = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));

export async function workflowBundle(): Promise<{ code: string }> {
  return { code: await readFile(BUNDLE, 'utf8') };
}

async function build(): Promise<void> {
  const workflowsPath = fileURLToPath(new URL('../workflows/index.js', import.meta.url));
  const { code } = await bundleWorkflowCode({
    workflowsPath,
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error },
  });
  await mkdir(dirname(BUNDLE), { recursive: true });
  await writeFile(`${BUNDLE}.new`, code);
  await rename(`${BUNDLE}.new`, BUNDLE);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
