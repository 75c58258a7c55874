import type { ClientSession, Collection } from 'mongodb';
import { nanoid } from 'nanoid';
import { DroverError } from '../../domain/errors.js';
import { hasCode } from '../server-errors.js';

/** Who makes a keyspace of a collection that is in use, until that is done or given up. */
export interface ReservationDocument {
  /** `<database>.<collection>`, which becomes the keyspace's name: on whichever node, there is one of it. */
  _id: string;
  node: string;
  /** Path of the partition key by which it is adopted. */
  key: string;
  /** Random: of one attempt. */
  holder: string;
  since: Date;
  /** By the catalog's own clock. */
  renewedAt: Date;
}

export interface ReservedPlace {
  readonly node: string;
  /** `<database>.<collection>` */
  readonly keyspace: string;
  readonly key: string;
}

export interface Reservation {
  readonly keyspace: string;
  readonly holder: string;
}

/** One that has not been renewed for so long has nobody any more. */
const LEASE_MS = 10_000;
const RENEW_MS = 2_000;

/**
 * Collections that are being adopted. At most one attempt is at work on a collection: what it changes there counts only as long as
 * its reservation stands.
 */
export class Reservations {
  constructor(private readonly collection: Collection<ReservationDocument>) {}

  /**
   * Does `work`, which completes the reservation, while nobody else can reserve the place. A process that dies leaves one that is
   * over after 10 s.
   *
   * @throws DroverError `Refused` when somebody else has it
   */
  async hold<T>(place: ReservedPlace, work: (reservation: Reservation) => Promise<T>): Promise<T> {
    const reservation = await this.reserve(place);
    // What can't be renewed is confirmed before anything relies on it.
    const renewal = setInterval(() => void this.confirm(reservation).catch(() => undefined), RENEW_MS);
    try {
      return await work(reservation);
    } catch (error) {
      // One that can't be removed now is over by itself.
      await this.collection.deleteOne({ _id: place.keyspace, holder: reservation.holder }).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  /** @throws DroverError `Superseded` when it has run out, and somebody else has come */
  async confirm({ keyspace, holder }: Reservation): Promise<void> {
    const renewed = await this.collection.updateOne({ _id: keyspace, holder }, [{ $set: { renewedAt: '$$NOW' } }]);
    if (renewed.matchedCount === 0) throw superseded(keyspace);
  }

  /** Ends it together with what it was for. @throws DroverError `Superseded` */
  async complete({ keyspace, holder }: Reservation, session: ClientSession): Promise<void> {
    const { deletedCount } = await this.collection.deleteOne({ _id: keyspace, holder }, { session });
    if (deletedCount === 0) throw superseded(keyspace);
  }

  private async reserve({ node, keyspace, key }: ReservedPlace): Promise<Reservation> {
    const holder = nanoid();
    const isOver = { $lt: ['$renewedAt', { $subtract: ['$$NOW', LEASE_MS] }] };
    await this.collection.deleteOne({ _id: keyspace, $expr: isOver });
    try {
      const values = { node, key, since: '$$NOW', renewedAt: '$$NOW' };
      await this.collection.updateOne({ _id: keyspace, holder }, [{ $set: values }], { upsert: true });
      return { keyspace, holder };
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
    }
    const other = await this.collection.findOne({ _id: keyspace });
    const what =
      other === null ? 'was' : `is, by the key "${other.key}" on "${other.node}" since ${other.since.toISOString()},`;
    throw new DroverError(
      'Refused',
      `${keyspace} ${what} being adopted already: wait for its end, and look at "drover keyspace list". Where that process has ` +
        `died, run this again in ${LEASE_MS / 1000} s`,
    );
  }
}

const superseded = (keyspace: string): DroverError =>
  new DroverError(
    'Superseded',
    `the adoption of ${keyspace} has stood still for too long, and somebody else has begun one`,
  );
