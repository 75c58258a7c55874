import { DroverError } from '../domain/errors.js';
import type { CopyProgress } from '../store/backfill.js';
import { changeWindow, runsOut } from '../store/change-window.js';
import type { MoveContext } from './move-context.js';

const LOOK_MS = 10_000;

/**
 * While a copy is made, looks whether the changes since its beginning will still be in the source's log when they are to be
 * applied: else it is stopped before it has cost more.
 */
export class LogWatch {
  private readonly stop = new AbortController();
  private readonly beganAt = performance.now();
  private lookedAt = this.beganAt;
  private copiedBefore: number | undefined;

  constructor(
    private readonly context: MoveContext,
    /** When the copy was begun, seconds since 1970. */
    private readonly startAt: number,
    /** A log that can't be read says nothing; a server that is gone is met by the copy itself. */
    private readonly onProblem: (error: unknown) => void,
  ) {}

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  progress({ documents, documentsInAll }: CopyProgress): void {
    this.copiedBefore ??= documents;
    const now = performance.now();
    if (now - this.lookedAt < LOOK_MS) return;
    this.lookedAt = now;
    const left = Math.max(1, documentsInAll - this.copiedBefore);
    const share = Math.min(1, (documents - this.copiedBefore) / left);
    this.look(share, (now - this.beganAt) / 1000).catch((error: unknown) => this.onProblem(error));
  }

  private async look(share: number, seconds: number): Promise<void> {
    const window = await changeWindow(this.context.client(this.context.move.source));
    const reason = runsOut(window, this.startAt, { share, seconds });
    if (reason !== undefined) this.stop.abort(new DroverError('ChangeLogLost', reason));
  }
}
