import type { AbstractCursor } from 'mongodb';
import { allEnded } from './all-ended.js';
import type { Batches } from './batches.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { LongRead } from './open-reads.js';
import type { OpenPiece, Unit } from './pieces.js';
import { LongStay } from './read-check.js';
import type { Reading } from './reading.js';
import type { Scatter } from './scatter.js';
import { atOnce } from './scatter.js';
import type { DroverSession } from './session.js';

/** What a cursor of the driver has read, as it was read. */
export class CursorBatches<T> implements Batches<T> {
  /**
   * @param answered told of each answer, before it is given out
   * @param delivered told of the documents that are given out
   */
  constructor(
    private readonly cursor: AbstractCursor<T>,
    private readonly answered?: (hasFound: boolean) => void | Promise<void>,
    private readonly delivered?: (documents: readonly T[]) => void,
  ) {}

  /** Asks for the first answer, and keeps it. */
  async ask(): Promise<void> {
    await this.cursor.hasNext();
  }

  async next(): Promise<T[] | null> {
    const hasFound = await this.cursor.hasNext();
    const checked = this.answered?.(hasFound);
    if (checked !== undefined) await checked;
    if (!hasFound) return null;
    const documents = this.cursor.readBufferedDocuments();
    this.delivered?.(documents);
    return documents;
  }

  close(): Promise<void> {
    return this.cursor.close();
  }
}

/** The pieces of a unit as cursors of the driver, which have asked for nothing yet. */
export async function openCursors<T>(
  scatter: Scatter,
  keyspace: KeyspaceHandle,
  unit: Unit,
  session: DroverSession | undefined,
  long: LongRead,
  open: (piece: OpenPiece) => AbstractCursor<T> | Promise<AbstractCursor<T>>,
  reading?: Reading,
): Promise<CursorBatches<T>[]> {
  const { check } = scatter;
  const lease = check.begin();
  const known = unit.routes.map((route) => ({ route, epoch: route.epoch }));
  const pieces = await scatter.open(keyspace, unit, session, long, reading);
  const cursors: CursorBatches<T>[] = [];
  try {
    for (const piece of pieces) {
      const cursor = await open(piece);
      cursor.once('close', () => piece.end());
      const { node, routes } = piece;
      const here = known.filter(({ route }) => routes.includes(route));
      const stay = new LongStay(check, lease, here, { keyspace, node, routes });
      cursors.push(new CursorBatches(cursor, (hasFound) => long.rely(stay.answered(hasFound)), piece.delivered));
    }
    return cursors;
  } catch (error) {
    for (const { end } of pieces) end(true);
    await closeAll(cursors);
    throw error;
  }
}

export async function closeAll(cursors: readonly { close(): Promise<void> }[]): Promise<void> {
  await Promise.all(cursors.map((cursor) => cursor.close()));
}

/** All units at once, for what has to be merged. */
export async function openEverywhere<T>(
  units: readonly Unit[],
  session: DroverSession | undefined,
  open: (unit: Unit) => Promise<CursorBatches<T>[]>,
): Promise<CursorBatches<T>[]> {
  const cursors: CursorBatches<T>[] = [];
  try {
    await allEnded(units, atOnce(session), async (unit) => cursors.push(...(await open(unit))));
  } catch (error) {
    await closeAll(cursors);
    throw error;
  }
  return cursors;
}

/** Documents of all pieces in memory at once, where the request does not say. */
const HELD = 20_000;
const FIRST_BATCH = 101;
export const batchSizeFor = (units: readonly Unit[]): number => Math.max(FIRST_BATCH, Math.ceil(HELD / units.length));

export async function closing<C extends AbstractCursor, T>(cursor: C, request: (cursor: C) => Promise<T>): Promise<T> {
  try {
    return await request(cursor);
  } finally {
    await cursor.close();
  }
}

/** Units that are opened before their turn. */
const AHEAD = 4;

/**
 * One unit after the other, the next ones opened while one is read: in no order, as a sharded cluster answers. A unit is opened
 * where it is at that moment, however long the ones before it have taken.
 */
export class InTurn<T> implements Batches<T> {
  private readonly ahead: Promise<CursorBatches<T>[]>[] = [];
  private readonly current: CursorBatches<T>[] = [];
  private closed = false;

  /** Units that are open at once; of more than one the first answers are asked for before their turn. */
  private readonly width: number;

  constructor(
    private readonly units: Unit[],
    private readonly open: (unit: Unit) => Promise<CursorBatches<T>[]>,
    session: DroverSession | undefined,
  ) {
    this.width = session === undefined ? AHEAD : 1;
  }

  async next(): Promise<T[] | null> {
    while (!this.closed) {
      const [batches] = this.current;
      if (batches === undefined) {
        this.fill();
        const opening = this.ahead.shift();
        if (opening === undefined) return null;
        const opened = await opening;
        this.current.push(...opened);
        if (this.isClosed()) await closeAll(this.current.splice(0));
        continue;
      }
      const batch = await batches.next();
      if (batch !== null) return batch;
      this.current.shift();
    }
    return null;
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const opening of this.ahead.splice(0)) {
      // Not waited for: they may be long in answering what nobody needs any more.
      opening.then(closeAll).catch(() => undefined);
    }
    await closeAll(this.current.splice(0));
  }

  /** It may have been, while something was waited for. */
  private isClosed(): boolean {
    return this.closed;
  }

  private fill(): void {
    while (this.ahead.length < this.width && this.units.length > 0) {
      const opening = this.opened(this.units.shift()!);
      // Told when its turn comes, if it comes.
      opening.catch(() => undefined);
      this.ahead.push(opening);
    }
  }

  private async opened(unit: Unit): Promise<CursorBatches<T>[]> {
    const cursors = await this.open(unit);
    try {
      if (this.width > 1) await Promise.all(cursors.map((cursor) => cursor.ask()));
    } catch (error) {
      await closeAll(cursors);
      throw error;
    }
    return cursors;
  }
}
