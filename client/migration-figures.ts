import type { MigrationDocument, WorkFigures } from '../store/catalog/migrations.js';
import type { MigrationProgress } from '../workflows/messages.js';

/** How far a migration is within its phase, and how long the rest of that will take. */
export interface MigrationFigures {
  /** When its phase began. */
  readonly phaseSince?: Date;
  /** The long work that it does at present. */
  readonly work?: WorkFigures;
  /** How far replication to where the load comes from is behind. */
  readonly lagSeconds?: number;
  /** Until its phase, or the time at its present weight, is over; absent while nobody can know. */
  readonly secondsLeft?: number;
}

/** Older figures are of something that has come to a halt, or is over: how fast it was says nothing any more. */
const FRESH_MS = 15_000;

/** Indexes are built at the end of the backfill, and before verification. */
const WORK: Readonly<Record<string, readonly WorkFigures['phase'][]>> = {
  backfill: ['backfill', 'indexes'],
  verify: ['indexes', 'verify'],
};

/** @param now milliseconds since 1970 */
export function migrationFigures(
  record: Pick<MigrationDocument, 'phase' | 'weight' | 'work' | 'replication'>,
  progress: Pick<MigrationProgress, 'phase' | 'weight' | 'phaseSince' | 'until'> | undefined,
  now: number,
): MigrationFigures {
  const phase = progress?.phase ?? record.phase;
  const isFresh = ({ at }: { readonly at: Date }) => Math.abs(now - at.getTime()) < FRESH_MS;
  const work = record.work !== undefined && WORK[phase]?.includes(record.work.phase) === true ? record.work : undefined;
  const { perSecond: _rate, secondsLeft: _left, ...halted } = work ?? ({} as WorkFigures);
  const behind = record.replication?.[(progress?.weight ?? record.weight) >= 100 ? 'back' : 'forward'];
  const lag = behind !== undefined && isFresh(behind) ? behind : undefined;
  const until = progress?.until;
  const left =
    until !== undefined
      ? Math.max(0, Math.ceil((until - now) / 1000))
      : phase === 'replicate'
        ? lag?.secondsLeft
        : work !== undefined && isFresh(work)
          ? work.secondsLeft
          : undefined;
  return {
    ...(progress?.phaseSince === undefined ? {} : { phaseSince: new Date(progress.phaseSince) }),
    ...(work === undefined ? {} : { work: isFresh(work) ? work : halted }),
    ...(lag === undefined ? {} : { lagSeconds: lag.lagSeconds }),
    ...(left === undefined ? {} : { secondsLeft: left }),
  };
}
