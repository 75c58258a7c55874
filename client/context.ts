import type { Client } from '@temporalio/client';
import type { Clock, Configuration } from '../config/index.js';
import { accessBucketMs, createClock, loadConfiguration, temporalConnectionOptions } from '../config/index.js';
import { DroverError, messageOf } from '../domain/errors.js';
import { Catalog } from '../store/catalog/catalog.js';
import { NodePool } from '../store/node-pool.js';

const CONNECT_TIMEOUT_MS = 5_000;

/** What control functions work with; connections open when first used. */
export interface ControlContext {
  readonly configuration: Configuration;
  readonly catalog: Catalog;
  readonly nodes: NodePool;
  /** Drover's time, milliseconds: that of access records, forecasts and decisions. */
  readonly now: Clock;
  temporal(): Promise<Client>;
  close(): Promise<void>;
}

/**
 * Opens the control side by a configuration (the file found as for every command, when none is given).
 *
 * @throws DroverError `InvalidConfiguration`, `Unavailable`
 */
export async function openControl(
  options: { configuration?: Configuration; path?: string } = {},
): Promise<ControlContext> {
  const configuration =
    options.configuration ?? (await loadConfiguration(options.path === undefined ? {} : { path: options.path }));
  const catalog = await Catalog.open(
    configuration.catalog,
    configuration.catalogDatabase,
    accessBucketMs(configuration.policy),
  );
  // A node that takes connections and says nothing would keep a command from ending for the driver's usual half minute.
  const nodes = new NodePool(new Map(Object.entries(configuration.nodeUris)), { connectTimeoutMS: CONNECT_TIMEOUT_MS });
  let temporal: Promise<Client> | undefined;
  return {
    configuration,
    catalog,
    nodes,
    now: createClock(configuration),
    temporal: () => (temporal ??= connectTemporal(configuration)),
    close: async () => {
      const client = await temporal?.catch(() => undefined);
      await client?.connection.close();
      await nodes.close();
      await catalog.close();
    },
  };
}

async function connectTemporal(configuration: Configuration): Promise<Client> {
  // Loaded when it is needed: half of the commands only read the catalog, and should be quick.
  const { Client, Connection } = await import('@temporalio/client');
  const { address, namespace } = configuration.temporal;
  try {
    return new Client({ connection: await Connection.connect(temporalConnectionOptions(configuration)), namespace });
  } catch (error) {
    const reason = messageOf(error);
    throw new DroverError('Unavailable', `Temporal at ${address} can't be reached: ${reason}`);
  }
}
