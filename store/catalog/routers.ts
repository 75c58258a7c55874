import type { Collection } from 'mongodb';

export interface RouterDocument {
  _id: string;
  region: string;
  host: string;
  pid: number;
  startedAt: Date;
  /** By the catalog's own clock. */
  renewedAt: Date;
}

export interface AcknowledgementDocument {
  _id: { router: string; partition: string };
  /** The newest epoch whose fence the router keeps; nothing older is under way there. */
  epoch: number;
  at: Date;
}

/** Routers announce themselves here, and acknowledge the routes of partitions that are changing hands. */
export class Routers {
  constructor(
    private readonly routers: Collection<RouterDocument>,
    private readonly acknowledgements: Collection<AcknowledgementDocument>,
  ) {}

  /** Registers, or renews the registration; the time is the catalog's. */
  async renew(router: Omit<RouterDocument, 'renewedAt'>): Promise<void> {
    const { _id, ...rest } = router;
    await this.routers.updateOne({ _id }, { $set: rest, $currentDate: { renewedAt: true } }, { upsert: true });
  }

  async leave(id: string): Promise<void> {
    await this.routers.deleteOne({ _id: id });
    await this.acknowledgements.deleteMany({ '_id.router': id });
  }

  async acknowledge(router: string, partition: string, epoch: number): Promise<void> {
    await this.acknowledgements.updateOne(
      { _id: { router, partition } },
      { $max: { epoch }, $currentDate: { at: true } },
      // The router keeps the fence whether or not the catalog remembers that it does; a lost one only costs an undo.
      { upsert: true, writeConcern: { w: 1 } },
    );
  }

  /** Ids of routers that renewed their registration within the last `goneAfterMs`. */
  async live(goneAfterMs: number): Promise<string[]> {
    const found = await this.routers
      .find(
        { $expr: { $gt: ['$renewedAt', { $subtract: ['$$NOW', goneAfterMs] }] } },
        { projection: { _id: 1 }, readConcern: { level: 'local' } },
      )
      .toArray();
    return found.map((router) => router._id);
  }

  /** Live routers that have not acknowledged `epoch` of `partition`. */
  async missing(partition: string, epoch: number, goneAfterMs: number): Promise<string[]> {
    const [live, acknowledged] = await Promise.all([
      this.live(goneAfterMs),
      this.acknowledgements
        .find({ '_id.partition': partition, epoch: { $gte: epoch } }, { readConcern: { level: 'local' } })
        .toArray(),
    ]);
    const have = new Set(acknowledged.map((each) => each._id.router));
    return live.filter((router) => !have.has(router));
  }
}
