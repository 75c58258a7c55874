import type { AbstractCursor } from 'mongodb';
import type { Batches } from './batches.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { OpenPiece, Unit } from './pieces.js';
import type { Scatter } from './scatter.js';
import { PARALLEL } from './scatter.js';
import type { DroverSession } from './session.js';

/** What a cursor of the driver has read, as it was read. */
export class CursorBatches<T> implements Batches<T> {
  constructor(private readonly cursor: AbstractCursor<T>) {}

  async next(): Promise<T[] | null> {
    return (await this.cursor.hasNext()) ? this.cursor.readBufferedDocuments() : null;
  }

  close(): Promise<void> {
    return this.cursor.close();
  }
}

/** Opens a cursor at a piece, for this request. */
export type OpenCursor<T> = (piece: OpenPiece) => AbstractCursor<T>;

/** The pieces of a unit as cursors, with their first batches asked for. */
export async function openCursors<T>(
  scatter: Scatter,
  keyspace: KeyspaceHandle,
  unit: Unit,
  session: DroverSession | undefined,
  open: OpenCursor<T>,
): Promise<AbstractCursor<T>[]> {
  const pieces = await scatter.open(keyspace, unit, session);
  return pieces.map((piece) => {
    const cursor = open(piece);
    piece.endWith(cursor);
    return cursor;
  });
}

/**
 * One unit after the other, the next ones opened while one is read: in no order, as a sharded cluster answers. A unit is opened
 * where it is at that moment, however long the ones before it have taken.
 */
export class InTurn<T> implements Batches<T> {
  private readonly ahead: Promise<CursorBatches<T>[]>[] = [];
  private readonly current: CursorBatches<T>[] = [];
  private closed = false;

  /** @param width units that are open at once */
  constructor(
    private readonly units: Unit[],
    private readonly open: (unit: Unit) => Promise<AbstractCursor<T>[]>,
    private readonly width = PARALLEL,
  ) {}

  async next(): Promise<T[] | null> {
    while (!this.closed) {
      this.fill();
      const [batches] = this.current;
      if (batches === undefined) {
        const opened = this.ahead.shift();
        if (opened === undefined) return null;
        this.current.push(...(await opened));
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
    const opened = await Promise.allSettled(this.ahead.splice(0));
    const rest = opened.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    await Promise.all([...this.current.splice(0), ...rest].map((batches) => batches.close()));
  }

  private fill(): void {
    while (this.ahead.length < this.width && this.units.length > 0) {
      const opening = this.opened(this.units.shift()!);
      // Told when its turn comes, if it comes.
      opening.catch(() => undefined);
      this.ahead.push(opening);
    }
  }

  /** With the first answers already on their way. */
  private async opened(unit: Unit): Promise<CursorBatches<T>[]> {
    const cursors = await this.open(unit);
    try {
      if (this.width > 1) await Promise.all(cursors.map((cursor) => cursor.hasNext()));
    } catch (error) {
      await Promise.all(cursors.map((cursor) => cursor.close()));
      throw error;
    }
    return cursors.map((cursor) => new CursorBatches(cursor));
  }
}
