import type { NodeProbe } from '../store/catalog/nodes.js';
import { probeByName } from '../store/node-status.js';
import type { ControlContext } from './context.js';

export interface ProbedNode {
  readonly name: string;
  readonly region: string;
  readonly probe: NodeProbe;
}

/**
 * Asks nodes how they are, all of them when none is named, and keeps the findings in the catalog. That a node can't be
 * reached is a finding, too.
 *
 * @throws DroverError `InvalidRequest` when there is no such node
 */
export async function probeNodes(
  { catalog, nodes }: ControlContext,
  names: readonly string[] = [],
): Promise<readonly ProbedNode[]> {
  const asked =
    names.length === 0 ? await catalog.nodes.list() : await Promise.all(names.map((n) => catalog.nodes.get(n)));
  return Promise.all(
    asked.map(async ({ _id: name, region, probe: previous }): Promise<ProbedNode> => {
      const probe = await probeByName(nodes, name, previous);
      await catalog.nodes.recordProbe(name, probe);
      return { name, region, probe };
    }),
  );
}
