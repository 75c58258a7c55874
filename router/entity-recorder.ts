import type { EntityUse } from '../domain/entity-sessions.js';
import { EntitySessions, MOST_ENTITIES } from '../domain/entity-sessions.js';
import type { Token } from '../domain/token.js';
import { RecordQueue } from './record-queue.js';

/** Keyspaces that are looked at; others are not, until the client is opened anew. */
const KEYSPACES = 16;
/** Hours of a keyspace that are known at once: where time goes fast they are written early. */
const HOURS = 8;
/** Hours of keyspaces that wait for the catalog. */
const WAITING = 2 * KEYSPACES;

export interface EntityRecorderOptions {
  readonly flushMs: number;
  /** Drover's time, milliseconds. */
  readonly now: () => number;
  /** What it is given again of an hour is in place of what it was given before. Without it nothing is counted. */
  readonly write?: ((use: EntityUse[]) => Promise<void>) | undefined;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/**
 * Finds out which entities are used together by one user, and writes it in the background, hour by hour. Requests that nobody knows
 * the user of say nothing: an application serves many. Nothing here fails a request.
 */
export class EntityRecorder {
  private readonly keyspaces = new Map<string, EntitySessions>();
  private readonly queue: RecordQueue<EntityUse>;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly options: EntityRecorderOptions) {
    const { write = () => Promise.resolve(), onProblem, flushMs } = options;
    const what = 'entities used together';
    this.queue = new RecordQueue({
      ...{ what, onProblem, atMost: WAITING, merge: newestOfEach },
      write: (use) => write(newestOfEach(use)),
    });
    this.timer = setInterval(() => void this.flush(), flushMs);
    this.timer.unref();
  }

  /** A request for one entity. @param user undefined where nobody knows who it is */
  use(user: number | undefined, keyspace: string, entity: Token): void {
    if (user === undefined || this.options.write === undefined) return;
    let sessions = this.keyspaces.get(keyspace);
    if (sessions === undefined) {
      if (this.keyspaces.size === KEYSPACES) return;
      this.keyspaces.set(keyspace, (sessions = new EntitySessions(keyspace)));
    }
    sessions.add(user, this.options.now(), entity);
    if (sessions.hoursHeld > HOURS) void this.flush();
  }

  /** A request for several at once. */
  useAll(user: number | undefined, keyspace: string, wanted: readonly Token[] | 'all'): void {
    if (user === undefined || wanted === 'all') return;
    for (const entity of wanted.slice(0, MOST_ENTITIES + 1)) this.use(user, keyspace, entity);
  }

  flush(): Promise<void> {
    return this.write(this.options.now());
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.queue.idle();
    await this.write();
  }

  /** @param at the present; without it all sessions are over */
  private write(at?: number): Promise<void> {
    for (const sessions of this.keyspaces.values()) {
      sessions.end(at);
      for (const use of sessions.take(at)) this.queue.add(use);
    }
    return this.queue.flush();
  }
}

function newestOfEach(use: readonly EntityUse[]): EntityUse[] {
  return [...new Map(use.map((each) => [`${each.keyspace} ${each.hour}`, each])).values()];
}
