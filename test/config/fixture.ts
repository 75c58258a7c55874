import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { loadConfiguration, type Configuration } from '../../config/index.js';
import { DroverError } from '../../domain/errors.js';

export type Variables = Readonly<Record<string, string>>;

/** A directory with these files, gone after the test. */
export async function directoryWith(files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'drover-config-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  return directory;
}

/** The configuration of a directory whose drover.yaml has this text. */
export async function load(yaml: string, env: Variables = {}): Promise<Configuration> {
  return loadConfiguration({ cwd: await directoryWith({ 'drover.yaml': yaml }), env });
}

/** The message with which a configuration is refused. */
export async function refusal(attempt: Promise<unknown>): Promise<string> {
  const outcome = await attempt.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof DroverError) || outcome.code !== 'InvalidConfiguration') {
    throw new Error(`expected InvalidConfiguration, got ${String(outcome)}`, { cause: outcome });
  }
  return outcome.message;
}

/** The problems in a refusal, without the heading. */
export async function problems(attempt: Promise<unknown>): Promise<readonly string[]> {
  return (await refusal(attempt))
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
}

export const CATALOG = 'catalog: mongodb://localhost:27017/\n';
