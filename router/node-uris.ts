import { loadConfiguration } from '../config/index.js';

/**
 * Connection strings of the nodes: those given, else from the configuration file or the environment
 * (`DROVER_NODE_<NAME>`).
 *
 * @throws DroverError `InvalidConfiguration` when the configuration file is wrong
 */
export async function nodeUris(
  catalogUri: string,
  names: readonly string[],
  given: Readonly<Record<string, string>> = {},
): Promise<ReadonlyMap<string, string>> {
  const uris = new Map(Object.entries(given));
  if (names.every((name) => uris.has(name))) return uris;
  const configuration = await loadConfiguration({ env: { DROVER_CATALOG_URI: catalogUri, ...process.env } });
  for (const [name, uri] of Object.entries(configuration.nodeUris)) if (!uris.has(name)) uris.set(name, uri);
  return uris;
}
