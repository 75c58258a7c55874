import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { ConnectionString } from 'mongodb-connection-string-url';
import { openControl } from '../../client/context.js';
import type { ControlContext } from '../../client/context.js';
import { registerNodes } from '../../client/nodes.js';
import { loadConfiguration } from '../../config/index.js';
import type { Cluster } from '../../temporal-config/dev-cluster.js';
import { startCluster } from '../../temporal-config/dev-cluster.js';
import { compiledFile } from '../../temporal-config/project-root.js';

export interface Outcome {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** The one document on stdout. */
  json<T = Record<string, unknown>>(): T;
}

/** A folder in which `drover` is typed: its outputs are searched for secrets, every one. */
export interface Shell {
  readonly folder: string;
  readonly secrets: string[];
  drover(...args: readonly string[]): Promise<Outcome>;
}

/** @param env instead of what this process has of Drover's */
export async function shell(env: Readonly<Record<string, string>> = {}, inFolder?: string): Promise<Shell> {
  const folder = inFolder ?? (await mkdtemp(join(tmpdir(), 'drover-cli-')));
  const secrets: string[] = [];
  return {
    folder,
    secrets,
    drover: async (...args) => {
      const { exitCode, stdout, stderr } = await execa(process.execPath, [compiledFile('client/main.js'), ...args], {
        cwd: folder,
        env: { ...withoutDrover(process.env), ...env },
        extendEnv: false,
        reject: false,
        stdin: 'ignore',
      });
      for (const secret of secrets) {
        if (`${stdout}${stderr}`.includes(secret)) throw new Error(`drover ${args.join(' ')} prints a password`);
      }
      if (/^\s+at .*:\d+:\d+\)?$/m.test(stderr)) throw new Error(`drover ${args.join(' ')} prints a stack: ${stderr}`);
      return { exitCode, stdout, stderr, json: <T>() => JSON.parse(stdout) as T };
    },
  };
}

function withoutDrover(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isOurs = (name: string) => /^(DROVER_(CONFIG|CATALOG|NODE_)|TEMPORAL_)/.test(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isOurs(name)));
}

export const passwordsOf = (env: Readonly<Record<string, string>>): string[] =>
  Object.values(env)
    .filter((value) => value.startsWith('mongodb'))
    .map((uri) => new ConnectionString(uri).password);

export interface ShellInUse extends Shell {
  readonly control: ControlContext;
  stop(): Promise<void>;
}

/**
 * The same with nodes that are there already, in its `drover.yaml`.
 *
 * @param uris of which passwords are secrets
 */
export async function shellWithNodes(yaml: string, uris: readonly string[]): Promise<ShellInUse> {
  const own = await shell();
  own.secrets.push(...passwordsOf(Object.fromEntries(uris.entries())));
  const path = join(own.folder, 'drover.yaml');
  await writeFile(path, yaml);
  const configuration = await loadConfiguration({ path, env: {} });
  const control = await openControl({ configuration });
  await registerNodes(control.catalog, configuration);
  return {
    ...own,
    control,
    stop: async () => {
      await control.close();
      await rm(own.folder, { recursive: true, force: true });
    },
  };
}

export interface RunningShell extends ShellInUse {
  readonly cluster: Cluster;
  /** The same shell with more in its environment. */
  withEnv(env: Readonly<Record<string, string>>): Promise<Shell>;
}

/** The same with a cluster in `.drover`, where commands look by themselves. */
export async function shellWithCluster(options: {
  readonly workers: number;
  readonly configuration?: Readonly<Record<string, unknown>>;
}): Promise<RunningShell> {
  const own = await shell();
  const cluster = await startCluster({ directory: join(own.folder, '.drover'), ui: false, ...options });
  try {
    own.secrets.push(...passwordsOf(cluster.env));
    const configuration = await loadConfiguration({ path: cluster.config, env: cluster.env });
    const control = await openControl({ configuration });
    await registerNodes(control.catalog, configuration);
    return {
      ...own,
      cluster,
      control,
      withEnv: async (env) => {
        const other = await shell(env, own.folder);
        other.secrets.push(...own.secrets);
        return other;
      },
      stop: async () => {
        await control.close();
        await cluster.stop();
        await rm(own.folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
