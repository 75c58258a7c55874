import type { Collection } from 'mongodb';
import { DroverError } from '../../domain/errors.js';

export interface NodeDocument {
  _id: string;
  region: string;
  /** Hosts without credentials; these stay in the configuration or environment. */
  address: string;
  capacity?: { opsPerSecond?: number; storageGb?: number };
  draining: boolean;
  addedAt: Date;
  /** What the last probe found. */
  probe?: NodeProbe;
}

/** What a node says of itself; what it can't tell is absent, not zero. */
export interface NodeProbe {
  at: Date;
  reachable: boolean;
  reason?: string;
  version?: string;
  roundTripMs?: number;
  opsPerSecond?: number;
  /** CPU of the server's process, in cores and as a share of its host's. */
  cpuCores?: number;
  cpuShare?: number;
  /** Means over the time since the probe before. */
  latencyMs?: { reads?: number; writes?: number; commands?: number };
  connections?: number;
  queued?: number;
  cacheUsedShare?: number;
  cacheDirtyShare?: number;
  residentMb?: number;
  memoryShare?: number;
  /** By the storage engine. */
  diskReadMbPerSecond?: number;
  diskWriteMbPerSecond?: number;
  diskFreeGb?: number;
  diskUsedShare?: number;
  /** Of the slowest secondary; unknown of a node that has none. */
  replicationLagSeconds?: number;
  membersDown?: number;
  changeLogHours?: number;
  /** What the next probe, by whichever worker, subtracts from its own. */
  counters?: NodeCounters;
}

/** Counters of one server process, since it started. */
export interface NodeCounters {
  host: string;
  /** By the server's own clock. */
  startedAt: Date;
  uptimeMs: number;
  operations: number;
  cpuMicros?: number;
  bytesRead?: number;
  bytesWritten?: number;
  latencies?: Partial<Record<'reads' | 'writes' | 'commands', { micros: number; ops: number }>>;
}

export class Nodes {
  constructor(private readonly collection: Collection<NodeDocument>) {}

  /** Adds a node, or brings its region, address and capacity up to date. */
  async put(node: Omit<NodeDocument, 'draining' | 'addedAt' | 'probe'>, now: Date): Promise<void> {
    const { _id, ...rest } = node;
    await this.collection.updateOne(
      { _id },
      { $set: rest, $setOnInsert: { draining: false, addedAt: now } },
      { upsert: true },
    );
  }

  async list(): Promise<NodeDocument[]> {
    return this.collection.find({}, { sort: { _id: 1 } }).toArray();
  }

  /** @throws DroverError `InvalidRequest` when there is no such node */
  async get(name: string): Promise<NodeDocument> {
    const node = await this.collection.findOne({ _id: name });
    if (node !== null) return node;
    const known = (await this.list()).map((each) => each._id).join(', ') || 'none';
    throw new DroverError('InvalidRequest', `there is no node "${name}"; known nodes: ${known}`);
  }

  async remove(name: string): Promise<void> {
    await this.get(name);
    await this.collection.deleteOne({ _id: name });
  }

  async recordProbe(name: string, probe: NodeProbe): Promise<void> {
    await this.collection.updateOne({ _id: name }, { $set: { probe } });
  }
}
