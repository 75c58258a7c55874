import type { Pace } from '../domain/pace.js';
import { paceAt, paceFrom, secondsLeft } from '../domain/pace.js';
import type { LagFigures, MigrationDocument, WorkFigures } from '../store/catalog/migrations.js';
import type { Dependencies } from './dependencies.js';

/** How often figures of a long activity go to the catalog, where commands read them. */
const RECORD_EVERY_MS = 1_000;

type Figures = Partial<Pick<MigrationDocument, 'documents' | 'bytes' | 'compared' | 'removed' | 'work'>> &
  Partial<Record<`replication.${string}`, LagFigures>>;

/** Tells how far an activity is: all that it says goes along with its heartbeat, the newest now and then to the catalog. */
export class FigureReporter {
  private recordedAt = 0;

  constructor(
    private readonly dependencies: Pick<Dependencies, 'catalog' | 'log'>,
    private readonly migration: string,
    private readonly heartbeat: (details: unknown) => void,
    private readonly everyMs = RECORD_EVERY_MS,
  ) {}

  /** One that does not reach the catalog is followed by the next. */
  tell(figures: Figures): void {
    this.heartbeat(figures);
    if (performance.now() - this.recordedAt < this.everyMs) return;
    this.recordedAt = performance.now();
    const { catalog, log } = this.dependencies;
    catalog.migrations.update(this.migration, { $set: figures }).catch((error: unknown) => {
      log.warn('figures of a migration were not recorded', { migration: this.migration, error });
    });
  }
}

/** Figures of one piece of work, with its pace. */
export class WorkPace {
  private pace: Pace | undefined;

  constructor(
    private readonly phase: WorkFigures['phase'],
    /** Of what is counted, where that is documents. */
    private readonly meanBytes?: number,
  ) {}

  /**
   * @param passed what this attempt has gone through, whether or not there was something to do
   * @param left how much of that it still has to
   */
  figures(
    { done, inAll }: { readonly done: number; readonly inAll: number },
    passed: number,
    left = Math.max(0, inAll - done),
  ): WorkFigures {
    const now = performance.now();
    this.pace = this.pace === undefined ? paceFrom(now, passed) : paceAt(this.pace, now, passed);
    const { perSecond } = this.pace;
    const seconds = secondsLeft(perSecond, left);
    const most = Math.max(done, inAll);
    return {
      phase: this.phase,
      done,
      inAll: most,
      ...(this.meanBytes === undefined
        ? {}
        : { bytes: Math.round(done * this.meanBytes), bytesInAll: Math.round(most * this.meanBytes) }),
      ...(perSecond === undefined ? {} : { perSecond }),
      ...(seconds === undefined ? {} : { secondsLeft: seconds }),
      at: new Date(),
    };
  }
}

/** Figures of a follower, which has caught up when its lag is gone. */
export class CatchUpPace {
  private pace: Pace | undefined;

  figures(applied: number, lagSeconds: number): LagFigures {
    const now = performance.now();
    // A lag that grows begins anew: then nobody knows.
    this.pace = this.pace === undefined ? paceFrom(now, -lagSeconds) : paceAt(this.pace, now, -lagSeconds);
    const seconds = secondsLeft(this.pace.perSecond, lagSeconds);
    return { applied, lagSeconds, ...(seconds === undefined ? {} : { secondsLeft: seconds }), at: new Date() };
  }
}
