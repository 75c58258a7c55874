import type { NodeName } from '../domain/partition.js';
import type { NodeHistory } from './node-history.js';

/** After a look at the catalog that did not help. */
const PAUSE_MS = 1_000;

/** In which region each node is. Those of nodes that were added since are looked up when they are first asked for. */
export class NodeRegions {
  private looksAgainAt = -Infinity;

  constructor(
    private readonly nodes: Pick<NodeHistory, 'regions'>,
    private regions: ReadonlyMap<NodeName, string>,
    private readonly onProblem: (problem: string, error: unknown) => void,
  ) {}

  /** @returns undefined while it is not known */
  of(node: NodeName): string | undefined {
    const region = this.regions.get(node);
    if (region === undefined && performance.now() >= this.looksAgainAt) void this.look();
    return region;
  }

  private async look(): Promise<void> {
    this.looksAgainAt = Infinity;
    try {
      this.regions = await this.nodes.regions();
    } catch (error) {
      this.onProblem('looking up the regions of nodes', error);
    }
    this.looksAgainAt = performance.now() + PAUSE_MS;
  }
}
