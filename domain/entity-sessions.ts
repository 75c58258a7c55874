import type { CorrelationCounts } from './access-correlation.js';
import { AccessCorrelation, SESSION_MS } from './access-correlation.js';
import { startOf } from './access-roll-up.js';
import { addressIn } from './client-network.js';
import { hash32 } from './hash-ring.js';
import type { Token } from './token.js';

/** Which entities of a keyspace were used together by the users that somebody looked at, in sessions that began in one hour. */
export interface EntityUse extends CorrelationCounts {
  readonly keyspace: string;
  /** Its beginning, milliseconds since the epoch. */
  readonly hour: number;
}

const HOUR_MS = 3_600_000;
/** Users that are looked at at once. */
const USERS = 128;
/** Who uses more entities within a session is no user, but a program, or many users behind one address. */
export const MOST_ENTITIES = 8;
/** Entities, and pairs of them, that are counted in an hour, and that are told of it. */
const COUNTED = 1_024;
const TOLD = 256;
/** Numbers of users are below it. */
const NUMBERS = 2 ** 32;

interface Session {
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly entities: Set<Token>;
}

/** A number for a user, by the address or name, whatever its port: what is kept in memory in its place. A range of addresses is no user. */
export function userOf(client: string): number | undefined {
  const { written } = addressIn(client);
  return written.includes('/') ? undefined : hash32(written);
}

/**
 * Finds sessions: the entities that one user uses within a minute of the first of them. In bounded memory: where there are more users
 * at once than can be looked at, those with the lower half of the numbers are, then a quarter, and so on, and all that these use.
 */
export class EntitySessions {
  private readonly open = new Map<number, Session>();
  private readonly hours = new Map<number, AccessCorrelation>();
  /** Users with numbers below it are looked at. */
  private limit = NUMBERS;

  constructor(private readonly keyspace: string) {}

  /** Hours of sessions that have ended. */
  get hoursHeld(): number {
    return this.hours.size;
  }

  /** Entities and pairs that are counted, of all hours. */
  get size(): number {
    let size = 0;
    for (const correlation of this.hours.values()) size += correlation.size;
    return size;
  }

  /**
   * @param user of {@link userOf}
   * @param at milliseconds since the epoch; of one user mostly in order
   */
  add(user: number, at: number, entity: Token): void {
    if (user >= this.limit) return;
    let session = this.open.get(user);
    if (session === undefined || isOver(session, at)) {
      if (session !== undefined) this.count(session);
      else if (this.open.size >= USERS) this.makeRoom(at);
      if (user >= this.limit) return;
      session = { since: at, entities: new Set() };
      this.open.set(user, session);
    }
    if (session.entities.size <= MOST_ENTITIES) session.entities.add(entity);
  }

  /** Ends the sessions that are over at this time; without one, all. */
  end(at?: number): void {
    for (const [user, session] of this.open) {
      if (at !== undefined && !isOver(session, at)) continue;
      this.open.delete(user);
      this.count(session);
    }
    if (this.open.size < 0.25 * USERS) this.limit = Math.min(NUMBERS, 2 * this.limit);
  }

  /**
   * What is known by the hour of sessions that have ended; it is known no more then.
   *
   * @param at the present, if hours in which others are still to begin or end are told again later, with all that is known then
   */
  take(at?: number): EntityUse[] {
    const { keyspace } = this;
    const use = [...this.hours].map(([hour, known]) => ({ keyspace, hour, ...known.counts(TOLD) }));
    for (const hour of this.hours.keys()) {
      if (at === undefined || hour < hourOf(at - SESSION_MS) || hour > hourOf(at + SESSION_MS)) this.hours.delete(hour);
    }
    return use;
  }

  private makeRoom(at: number): void {
    this.end(at);
    if (this.open.size < 0.75 * USERS) return;
    this.limit /= 2;
    for (const user of this.open.keys()) if (user >= this.limit) this.open.delete(user);
  }

  private count({ since, entities }: Session): void {
    if (entities.size > MOST_ENTITIES) return;
    const hour = hourOf(since);
    let correlation = this.hours.get(hour);
    if (correlation === undefined) this.hours.set(hour, (correlation = new AccessCorrelation(COUNTED)));
    correlation.add(Array.from(entities, String));
  }
}

const hourOf = (time: number): number => startOf(time, HOUR_MS);

/** Lines of a log may go back in time. */
const isOver = ({ since }: Session, at: number): boolean => Math.abs(at - since) >= SESSION_MS;
