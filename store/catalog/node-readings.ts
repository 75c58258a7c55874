import type { Collection } from 'mongodb';
import type { NodeReading } from '../../domain/node-series.js';

export interface NodeReadingDocument extends Omit<NodeReading, 'time'> {
  /** Node and window: the last probe of a window is the one that is kept. */
  _id: string;
  node: string;
  time: Date;
  /** The server removes it then. */
  expireAt: Date;
}

/** What nodes have said of themselves, a reading for each window. */
export class NodeReadings {
  constructor(private readonly collection: Collection<NodeReadingDocument>) {}

  /** @param keepMs real time, milliseconds */
  async record(
    node: string,
    reading: NodeReading,
    { windowMs, keepMs }: { readonly windowMs: number; readonly keepMs: number },
  ): Promise<void> {
    const { time, ...rest } = reading;
    const _id = `${node}/${Math.floor(time / windowMs) * windowMs}`;
    await this.collection.replaceOne(
      { _id },
      { node, time: new Date(time), ...rest, expireAt: new Date(Date.now() + keepMs) },
      { upsert: true },
    );
  }

  /** Of the time `[from, to)`, Drover's, milliseconds; oldest first. */
  async list(node: string, from: number, to: number): Promise<NodeReading[]> {
    const found = await this.collection
      .find({ node, time: { $gte: new Date(from), $lt: new Date(to) } }, { sort: { time: 1 } })
      .toArray();
    return found.map(({ _id, node: _node, expireAt: _expireAt, time, ...reading }) => ({
      ...reading,
      time: time.getTime(),
    }));
  }
}
