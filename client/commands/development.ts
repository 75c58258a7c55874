import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Configuration } from '../../config/index.js';
import { loadConfiguration, Secrets } from '../../config/index.js';
import { given, wholeNumber } from './arguments.js';
import { withTerminal } from './invocation.js';
import { facts, some, table } from './presentation.js';

export interface DevelopmentNode {
  readonly name: string;
  readonly region: string;
}

interface RunningServer {
  readonly presence: string;
  readonly port?: number;
  readonly pid?: number;
}

/** What is up. */
export interface DevelopmentCluster {
  readonly directory: string;
  readonly config: string;
  readonly env: string;
  readonly catalog: RunningServer;
  readonly nodes: readonly (DevelopmentNode & RunningServer)[];
  readonly temporal: {
    readonly presence: string;
    readonly address: string;
    readonly uiUrl?: string;
    readonly pid?: number;
  };
  readonly workers: readonly { readonly presence: string; readonly pid: number; readonly log: string }[];
  readonly seconds: number;
}

/** The embedded servers; given by the entry file, as the client may not reach for them. */
export interface DevelopmentServers {
  up(options: {
    readonly directory: string;
    readonly nodes?: readonly DevelopmentNode[];
    readonly workers?: number;
    readonly progress: boolean;
  }): Promise<DevelopmentCluster>;
  down(options: {
    readonly directory: string;
    readonly purge: boolean;
  }): Promise<{ readonly directory: string; readonly stopped: readonly string[]; readonly purged: boolean }>;
  /** What `up` wrote beside drover.yaml. */
  environment(directory: string): Promise<Readonly<Record<string, string>>>;
}

interface UpOptions {
  readonly nodes?: readonly DevelopmentNode[];
  readonly workers?: number;
  readonly directory: string;
}

export function addDevelopmentCommands(program: Command, servers: DevelopmentServers): void {
  program
    .command('up')
    .description('start nodes, catalog, Temporal and a worker for development; what runs already stays as it is')
    .option('--nodes <name:region,...>', 'nodes to have, such as us-1:us-east,eu-1:eu-west (default: three)', nodeList)
    .option('--workers <number>', 'worker processes to have (default: 1)', wholeNumber)
    .option('--directory <path>', 'where data, logs and secrets are', '.drover')
    .action(
      withTerminal<UpOptions>(async ({ options: { directory, nodes, workers }, terminal }) => {
        // The list of tasks is drawn on stdout, where a script expects nothing but the result.
        const progress = terminal.interactive && process.stdout.isTTY;
        if (!progress) terminal.note('Starting servers; what is missing is installed first, which can take minutes.');
        const cluster = await servers.up({ directory, ...given({ nodes, workers }), progress });
        const configuration = await configurationOf(cluster, servers);
        terminal.guard(Secrets.of(configuration));
        await register(configuration);
        terminal.result(cluster, describe(cluster));
      }),
    );

  program
    .command('down')
    .description('stop what "up" started; data stays for the next "up"')
    .option('--purge', 'remove the folder with all data, too')
    .option('--directory <path>', 'the folder that "up" was given', '.drover')
    .action(
      withTerminal<{ purge?: boolean; directory: string }>(async ({ options, terminal }) => {
        const { directory, purge = false } = options;
        const result = await servers.down({ directory, purge });
        const stopped = result.stopped.length === 0 ? 'Nothing was running.' : `Stopped: ${result.stopped.join(', ')}.`;
        terminal.result(
          result,
          `${stopped} ${result.purged ? `Removed ${result.directory}.` : `The data stays in ${result.directory}.`}`,
        );
      }),
    );
}

/** `us-1:us-east,eu-1:eu-west` */
function nodeList(text: string): readonly DevelopmentNode[] {
  return text.split(',').map((part) => {
    const [, name, region] = /^\s*([a-z0-9][a-z0-9-]*):([^\s:]+)\s*$/.exec(part) ?? [];
    if (name === undefined || region === undefined) {
      throw new InvalidArgumentError('It must be names with their regions, such as us-1:us-east,eu-1:eu-west.');
    }
    return { name, region };
  });
}

async function configurationOf({ config, directory }: DevelopmentCluster, servers: DevelopmentServers) {
  return loadConfiguration({ path: config, env: { ...process.env, ...(await servers.environment(directory)) } });
}

/** The catalog learns the nodes. */
async function register(configuration: Configuration): Promise<void> {
  const [{ openControl }, { registerNodes }] = await Promise.all([import('../context.js'), import('../nodes.js')]);
  const control = await openControl({ configuration });
  try {
    await registerNodes(control.catalog, configuration);
  } finally {
    await control.close();
  }
}

function describe(cluster: DevelopmentCluster): string {
  const { nodes, catalog, temporal, workers, seconds } = cluster;
  const port = (address: string) => Number(address.split(':').at(-1));
  const servers = [
    ...nodes.map((node) => ({ what: `node ${node.name}`, ...node })),
    { what: 'catalog', region: undefined, ...catalog },
    { what: 'Temporal', region: undefined, port: port(temporal.address), ...temporal },
    ...workers.map((worker) => ({ what: 'worker', region: undefined, port: undefined, ...worker })),
  ];
  const [first] = nodes;
  const target = nodes[1]?.name ?? first?.name ?? 'NODE';
  return [
    `${some(nodes.length, 'node')}, a catalog, Temporal and ${some(workers.length, 'worker')} are up (${seconds.toFixed(1)} s).`,
    '',
    table(
      servers,
      [
        { title: 'what', value: ({ what }) => what },
        { title: 'region', value: ({ region }) => region },
        { title: 'state', value: ({ presence }) => presence },
        { title: 'port', value: (server) => server.port, right: true },
        { title: 'pid', value: ({ pid }) => pid, right: true },
      ],
      '',
    ),
    '',
    facts([
      ['Temporal UI', temporal.uiUrl],
      ['configuration', shortPath(cluster.config)],
      ['worker log', workers[0] && shortPath(workers[0].log)],
    ]),
    '',
    'Next:',
    ...preparation(cluster).map((line) => `  ${line}`),
    '  npx drover keyspace create shop.orders --key customerId --partitions 16',
    '  npx drover partition list shop.orders',
    `  npx drover migrate shop.orders p0 --to ${target} --wait`,
    `  npx drover down${isDefault(cluster) ? '' : ` --directory ${shortPath(cluster.directory)}`}`,
  ].join('\n');
}

/** What other commands need to find this cluster from here, if it isn't where they look. */
function preparation({ directory, config, env }: DevelopmentCluster): readonly string[] {
  const isFound = directory === resolve('.drover') && !existsSync('drover.yaml');
  if (isFound) return [];
  return [`set -a; . ${shortPath(env)}; DROVER_CONFIG=${shortPath(config)}; set +a`];
}

const isDefault = ({ directory }: DevelopmentCluster) => directory === resolve('.drover');

function shortPath(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : join('.', short);
}
