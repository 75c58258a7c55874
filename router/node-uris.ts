import { loadConfiguration } from '../config/index.js';

/** Connection strings of nodes: those given, else from the configuration file or the environment (`DROVER_NODE_<NAME>`). */
export class NodeUris {
  constructor(
    private readonly catalogUri: string,
    private readonly given: Readonly<Record<string, string>> = {},
  ) {}

  /**
   * Read anew where it was not given: a node may have been added since.
   *
   * @returns undefined where none is known
   * @throws DroverError `InvalidConfiguration` when the configuration file is wrong
   */
  async find(node: string): Promise<string | undefined> {
    const given = this.given[node];
    if (given !== undefined) return given;
    const env = { DROVER_CATALOG_URI: this.catalogUri, ...process.env };
    const { nodeUris } = await loadConfiguration({ env });
    return nodeUris[node];
  }
}
