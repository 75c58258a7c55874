import { DroverError } from '../domain/errors.js';
import type { CopyProgress } from '../store/backfill.js';
import { changeWindow, runsOut } from '../store/change-window.js';
import type { MoveContext } from './move-context.js';

const LOOK_MS = 10_000;
/** Looks over which the speed of the copy is measured, and after which a bad outlook counts. */
const LOOKS = 6;

/**
 * While a copy is made, looks whether the changes since its beginning will still be in the source's log when they are to be
 * applied: else it is stopped before it has cost more.
 */
export class LogWatch {
  private readonly stop = new AbortController();
  private readonly looks: { readonly at: number; readonly read: number }[] = [{ at: performance.now(), read: 0 }];
  private bad = 0;

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

  progress({ read, toRead }: CopyProgress): void {
    const at = performance.now();
    if (at - this.looks.at(-1)!.at < LOOK_MS) return;
    const from = this.looks[0]!;
    this.looks.push({ at, read });
    if (this.looks.length > LOOKS) this.looks.shift();
    const perSecond = ((read - from.read) * 1000) / (at - from.at);
    this.look(Math.max(0, toRead - read) / perSecond).catch((error: unknown) => this.onProblem(error));
  }

  private async look(toGo: number): Promise<void> {
    const window = await changeWindow(this.context.client(this.context.move.source));
    const reason = window && runsOut(window, this.startAt, toGo);
    this.bad = reason === undefined ? 0 : this.bad + 1;
    if (this.bad >= LOOKS) this.stop.abort(new DroverError('ChangeLogLost', reason!));
  }
}
