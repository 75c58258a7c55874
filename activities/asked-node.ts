import type { MongoClient } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import type { NodeProbe } from '../store/catalog/nodes.js';
import { inTime } from '../store/in-time.js';
import type { NodePool } from '../store/node-pool.js';

const CONNECT_MS = 3_000;

/**
 * A node for questions that can wait: when its last probe has not found it, it is not waited for.
 *
 * @throws DroverError `Unavailable`
 */
export async function askedNode(nodes: NodePool, node: NodeName, probe: NodeProbe | undefined): Promise<MongoClient> {
  if (probe?.reachable === false) {
    throw new DroverError('Unavailable', probe.reason ?? 'it did not answer when it was probed');
  }
  return inTime(node, nodes.get(node), CONNECT_MS);
}
