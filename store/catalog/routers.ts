import { randomInt } from 'node:crypto';
import type { Collection } from 'mongodb';

export interface RouterDocument {
  _id: string;
  region: string;
  host: string;
  pid: number;
  startedAt: Date;
  /** Raised by every renewal of the lease: the mover watches it by its own clock. */
  renewals: number;
  /** By the catalog's clock, for people. */
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

  /** From here on hand-overs wait for this router. Routes have to be read after it. */
  async register(router: Omit<RouterDocument, 'renewedAt' | 'renewals'>): Promise<void> {
    const { _id, ...rest } = router;
    await this.routers.updateOne(
      { _id },
      // A number of its own: who still counts for an earlier registration must not take this one for it.
      { $set: { ...rest, renewals: randomInt(2 ** 40) }, $currentDate: { renewedAt: true } },
      { upsert: true },
    );
  }

  /** @returns false when the router was expelled: it has to register and to read all routes again */
  async renew(id: string): Promise<boolean> {
    const { matchedCount } = await this.routers.updateOne(
      { _id: id },
      { $inc: { renewals: 1 }, $currentDate: { renewedAt: true } },
    );
    return matchedCount === 1;
  }

  async leave(id: string): Promise<void> {
    await this.routers.deleteOne({ _id: id });
    await this.acknowledgements.deleteMany({ '_id.router': id });
  }

  /** Ends the registration of a router whose lease has run out, unless it has renewed it since. */
  async expel(id: string, renewals: number): Promise<boolean> {
    const { deletedCount } = await this.routers.deleteOne({ _id: id, renewals });
    return deletedCount === 1;
  }

  async acknowledge(router: string, partition: string, epoch: number): Promise<void> {
    await this.acknowledgements.updateOne(
      { _id: { router, partition } },
      { $max: { epoch }, $currentDate: { at: true } },
      // The router keeps the fence whether or not the catalog remembers that it does; a lost one only costs an undo.
      { upsert: true, writeConcern: { w: 1 } },
    );
  }

  async list(): Promise<RouterDocument[]> {
    return this.routers.find().toArray();
  }

  /** Registered routers that have not acknowledged `epoch` of `partition`. */
  async missing(partition: string, epoch: number): Promise<{ readonly id: string; readonly renewals: number }[]> {
    const [registered, acknowledged] = await Promise.all([
      // Local reads: who registers later than the epoch's own majority write reads routes that have it.
      this.routers.find({}, { projection: { _id: 1, renewals: 1 }, readConcern: { level: 'local' } }).toArray(),
      this.acknowledgements
        .find({ '_id.partition': partition, epoch: { $gte: epoch } }, { readConcern: { level: 'local' } })
        .toArray(),
    ]);
    const have = new Set(acknowledged.map((each) => each._id.router));
    return registered.filter(({ _id }) => !have.has(_id)).map(({ _id, renewals }) => ({ id: _id, renewals }));
  }
}

const APP_PREFIX = 'drover-router-';

/** By its name at the nodes a router's transactions are recognised when it is gone. */
export const appOfRouter = (id: string): string => APP_PREFIX + id;

export const routerOfApp = (appName: string): string | undefined =>
  appName.startsWith(APP_PREFIX) ? appName.slice(APP_PREFIX.length) : undefined;
