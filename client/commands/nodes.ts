import type { Command } from 'commander';
import type { ProbedNode } from '../node-probes.js';
import type { NodeSummary } from '../nodes.js';
import { atLeastZero, given } from './arguments.js';
import { withControl } from './invocation.js';
import { count, milliseconds, percent, table } from './presentation.js';

export function addNodeCommands(program: Command): void {
  const node = program.command('node').description('the MongoDB replica sets that store partitions');

  node
    .command('add <name>')
    .description('add a node, or change its region and capacity; its URI comes from DROVER_NODE_<NAME> or drover.yaml')
    .option('--region <region>', 'where it stands (default: as in drover.yaml)')
    .option('--capacity-ops <number>', 'requests a second that it can serve', atLeastZero)
    .option('--storage-gb <number>', 'gigabytes that it can store', atLeastZero)
    .action(
      withControl<{ region?: string; capacityOps?: number; storageGb?: number }>(
        async ({ control, options, terminal }, name) => {
          const { addNode } = await import('../nodes.js');
          const capacity = given({ opsPerSecond: options.capacityOps, storageGb: options.storageGb });
          const added = await addNode(control, { name, ...given({ region: options.region }), capacity });
          terminal.result(added, `Node "${added.name}" (${added.address}) in ${added.region} is in the catalog.`);
        },
      ),
    );

  node
    .command('list')
    .description('nodes with their regions, partitions and last probe')
    .action(
      withControl(async ({ control, terminal }) => {
        const { listNodes } = await import('../nodes.js');
        const nodes = await listNodes(control);
        terminal.result({ nodes }, nodeTable(nodes));
      }),
    );

  node
    .command('probe [names...]')
    .description('ask nodes how they are (default: all of them); fails when one does not answer')
    .action(
      withControl<object, [names: readonly string[]]>(async ({ control, terminal }, names) => {
        const { probeNodes } = await import('../node-probes.js');
        const nodes = await probeNodes(control, names);
        const silent = nodes
          .filter(({ probe }) => !probe.reachable)
          .map(({ name, probe }) => `${name} (${probe.reason})`);
        if (silent.length === 0) terminal.result({ nodes }, probeTable(nodes));
        else terminal.unsuccessful({ nodes }, probeTable(nodes), `These nodes do not answer: ${silent.join(', ')}.`);
      }),
    );

  node
    .command('remove <name>')
    .description('take a node out of the catalog; refused while it owns partitions or a move goes there')
    .action(
      withControl(async ({ control, terminal }, name) => {
        const { removeNode } = await import('../nodes.js');
        await removeNode(control, name);
        const configured = control.configuration.nodes.some((each) => each.name === name);
        if (configured) terminal.note(`Take "${name}" out of drover.yaml, too: the next worker would add it again.`);
        terminal.result({ removed: name }, `Node "${name}" is no longer in the catalog; its data was not touched.`);
      }),
    );
}

const nodeTable = (nodes: readonly NodeSummary[]): string =>
  table(
    nodes,
    [
      { title: 'node', value: ({ name }) => name },
      { title: 'region', value: ({ region }) => region },
      { title: 'address', value: ({ address }) => address },
      { title: 'partitions', value: ({ partitions }) => count(partitions), right: true },
      { title: 'arriving', value: ({ arriving }) => count(arriving), right: true },
      { title: 'ops/s', value: ({ capacity }) => count(capacity?.opsPerSecond), right: true },
      { title: 'GB', value: ({ capacity }) => count(capacity?.storageGb), right: true },
      { title: 'state', value: state },
    ],
    'There is no node yet: name nodes in drover.yaml, or add one with "drover node add".',
  );

const probeTable = (nodes: readonly ProbedNode[]): string =>
  table(
    nodes,
    [
      { title: 'node', value: ({ name }) => name },
      { title: 'answers', value: ({ probe }) => (probe.reachable ? 'yes' : 'no') },
      { title: 'version', value: ({ probe }) => probe.version },
      { title: 'round trip', value: ({ probe }) => unless(probe.roundTripMs, milliseconds), right: true },
      { title: 'ops/s', value: ({ probe }) => count(probe.opsPerSecond), right: true },
      { title: 'queued', value: ({ probe }) => count(probe.queued), right: true },
      { title: 'connections', value: ({ probe }) => count(probe.connections), right: true },
      { title: 'cache used', value: ({ probe }) => percent(probe.cacheUsedShare), right: true },
      { title: 'dirty', value: ({ probe }) => percent(probe.cacheDirtyShare), right: true },
      { title: 'disk free', value: ({ probe }) => unless(probe.diskFreeGb, (gb) => `${count(gb)} GB`), right: true },
      {
        title: 'change log',
        value: ({ probe }) => unless(probe.changeLogHours, (h) => `${h.toFixed(1)} h`),
        right: true,
      },
    ],
    'There is no node yet.',
  );

/** What a node can't tell stays open. */
const unless = (value: number | undefined, written: (value: number) => string): string | undefined =>
  value === undefined ? undefined : written(value);

function state({ draining, probe }: NodeSummary): string {
  if (probe?.reachable === false) return 'not reachable';
  return draining ? 'draining' : 'in use';
}
