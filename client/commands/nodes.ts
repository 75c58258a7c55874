import type { Command } from 'commander';
import { atLeastZero, given } from './arguments.js';
import { nodeDetails, nodeTable, probeTable } from './node-view.js';
import { withControl } from './invocation.js';

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
    .command('show <name>')
    .description('a node in full: what it told last, round trips from each region, and what its partitions use of it')
    .action(
      withControl(async ({ control, terminal }, name) => {
        const { showNode } = await import('../node-details.js');
        const details = await showNode(control, name);
        terminal.result(details, nodeDetails(details));
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
