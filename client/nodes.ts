import { ConnectionString } from 'mongodb-connection-string-url';
import type { Configuration } from '../config/index.js';
import { DroverError } from '../domain/errors.js';
import type { Partition } from '../domain/partition.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { NodeDocument, NodeProbe } from '../store/catalog/nodes.js';
import type { RoundTrip } from '../store/catalog/round-trips.js';
import { unsuitable } from '../store/suitability.js';
import type { ControlContext } from './context.js';

export interface NodeSummary {
  readonly name: string;
  readonly region: string;
  /** Hosts, without credentials. */
  readonly address: string;
  readonly capacity?: NodeDocument['capacity'];
  readonly draining: boolean;
  readonly addedAt: Date;
  /** Partitions that it owns, and that are moving to it. */
  readonly partitions: number;
  readonly arriving: number;
  /** From each region that routers measure it from, the nearest first. */
  readonly roundTrips: readonly Omit<RoundTrip, 'node'>[];
  /** What the last probe found. */
  readonly probe?: NodeProbe;
}

export interface AddNodeRequest {
  readonly name: string;
  /** Default: the region that the configuration gives it. */
  readonly region?: string;
  /** Default: the capacity that the configuration gives it. */
  readonly capacity?: { readonly opsPerSecond?: number; readonly storageGb?: number };
}

/** Hosts of a connection string: what may stand in the catalog. */
export const addressOf = (uri: string): string => new ConnectionString(uri).hosts.join(',');

/** Brings the catalog's nodes up to date with the configuration's. Nodes that only the catalog knows stay. */
export async function registerNodes(catalog: Catalog, configuration: Configuration): Promise<void> {
  for (const { name, region, uri, capacity } of configuration.nodes) {
    await catalog.nodes.put(
      { _id: name, region, address: addressOf(uri), ...(capacity === undefined ? {} : { capacity: { ...capacity } }) },
      new Date(),
    );
  }
}

/**
 * Adds a node, or brings its region and capacity up to date. Its address with the credentials comes from the
 * configuration or from `DROVER_NODE_<NAME>`; only the hosts go into the catalog.
 *
 * @throws DroverError `InvalidConfiguration` without an address, `Unavailable` when it does not answer, `Refused` when
 * it is nothing that partitions can live on
 */
export async function addNode(
  { catalog, nodes, configuration }: ControlContext,
  request: AddNodeRequest,
): Promise<NodeSummary> {
  const { name } = request;
  const configured = configuration.nodes.find((node) => node.name === name);
  const region = request.region ?? configured?.region;
  if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) {
    throw invalid(`a node is named by small letters, digits and hyphens, such as eu-1; got ${JSON.stringify(name)}`);
  }
  if (region === undefined || region === '') throw invalid(`in which region does node "${name}" stand? Say --region`);
  const client = await nodes.get(name);
  const why = await unsuitable(client);
  if (why !== undefined) throw new DroverError('Refused', `node "${name}" can't be used: ${why}`);
  const address = addressOf(configuration.nodeUris[name]!);
  const twin = (await catalog.nodes.list()).find((node) => node._id !== name && node.address === address);
  if (twin !== undefined) {
    throw new DroverError('Refused', `node "${twin._id}" has the same address (${address}): one server is one node`);
  }
  const capacity = { ...configured?.capacity, ...request.capacity };
  const hasCapacity = Object.keys(capacity).length > 0;
  await catalog.nodes.put({ _id: name, region, address, ...(hasCapacity ? { capacity } : {}) }, new Date());
  return summaryOf(await catalog.nodes.get(name), await catalog.partitions.list(), await catalog.roundTrips.list());
}

export async function listNodes({ catalog }: ControlContext): Promise<readonly NodeSummary[]> {
  const [nodes, partitions, roundTrips] = await Promise.all([
    catalog.nodes.list(),
    catalog.partitions.list(),
    catalog.roundTrips.list(),
  ]);
  return nodes.map((node) => summaryOf(node, partitions, roundTrips));
}

/**
 * Takes a node out of the catalog; its data stays where it is.
 *
 * @throws DroverError `InvalidRequest` when there is no such node, `Refused` while something needs it
 */
export async function removeNode({ catalog }: ControlContext, name: string): Promise<void> {
  const node = summaryOf(await catalog.nodes.get(name), await catalog.partitions.list(), []);
  const reasons = [
    ...(node.partitions > 0 ? [`it owns ${some(node.partitions, 'partition')}`] : []),
    ...(node.arriving > 0
      ? [`${some(node.arriving, 'move')} to it ${node.arriving === 1 ? 'is' : 'are'} under way`]
      : []),
  ];
  if (reasons.length > 0) {
    throw new DroverError(
      'Refused',
      `node "${name}" can't be removed: ${reasons.join(', and ')}. Move its partitions to other nodes first ("drover migrate")`,
    );
  }
  await catalog.nodes.remove(name);
}

function summaryOf(
  node: NodeDocument,
  partitions: readonly Partition[],
  roundTrips: readonly RoundTrip[],
): NodeSummary {
  const { _id: name, region, address, capacity, draining, addedAt, probe } = node;
  return {
    name,
    region,
    address,
    ...(capacity === undefined ? {} : { capacity }),
    draining,
    addedAt,
    partitions: partitions.filter((partition) => owns(partition, name)).length,
    arriving: partitions.filter(({ handover, route }) => handover?.target === name && route.source !== name).length,
    roundTrips: roundTrips
      .filter((each) => each.node === name)
      .sort((a, b) => a.ms - b.ms)
      .map(({ node: _, ...each }) => each),
    ...(probe === undefined ? {} : { probe }),
  };
}

/** A former owner counts until its copy is gone: the move that leads away from it still needs it. */
const owns = ({ route, handover }: Partition, node: string): boolean =>
  route.source === node || (handover?.state.kind === 'retiring' && handover.state.formerSource === node);

const some = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

const invalid = (message: string) => new DroverError('InvalidRequest', message);
