import type { ScheduleHandle } from '@temporalio/client';
import { ScheduleNotFoundError } from '@temporalio/client';
import { DroverError, messageOf } from '../domain/errors.js';
import type { MigrationDocument } from '../store/catalog/migrations.js';
import { FORECAST_SCHEDULE_ID } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import { migrationProgress, updateMigration } from './migrations.js';
import { clearPausedByStop, isPausedByStop, markPausedByStop } from './paused-by-stop.js';

/** What `stop` or `start` did to a migration, or why it did not. */
export interface AffectedMigration {
  readonly keyspace: string;
  readonly partition: string;
  readonly source: string;
  readonly target: string;
  /** `paused` and `resumed` now; `left`: for the reason in `note`. */
  readonly outcome: 'paused' | 'resumed' | 'left';
  readonly phase: string;
  readonly note?: string;
}

export interface AutomationChange {
  readonly stopped: boolean;
  /** `none`: there is no schedule of forecasts yet. */
  readonly schedule: 'paused' | 'running' | 'none';
  readonly migrations: readonly AffectedMigration[];
  /** Migrations that could not be asked; they may be moving on. */
  readonly unanswered: number;
}

const NOTE = 'drover stop';

/**
 * Stops all automation: no forecast is made, no move begins, and running moves wait at their next safe point. Moves
 * that retire the old copy or roll back go on to their end, which is the safe thing to do.
 *
 * The switch in the catalog comes first: whatever else can't be reached, nothing new begins from then on.
 *
 * @throws DroverError `Unavailable` when Temporal can't be reached; the switch is thrown all the same
 */
export async function stopAutomation(context: ControlContext, by: string): Promise<AutomationChange> {
  const { catalog } = context;
  await catalog.settings.setAutomationStopped(true, by, new Date());
  const schedule = await whileStopped(() =>
    changeSchedule(context, async (handle, { paused }) => {
      // Paused by somebody else: it is not ours to start again.
      if (!paused) await handle.pause(`${NOTE} by ${by}`);
      return 'paused';
    }),
  );
  const done = new Map<string, AffectedMigration>();
  // A move that was just being claimed when the switch was thrown shows up a moment later.
  for (let before = -1; before !== done.size;) {
    before = done.size;
    const running = await catalog.migrations.list({ state: 'running' });
    const pause = async (migration: MigrationDocument) =>
      done.set(migration._id, await pauseOne(context, migration, by));
    await Promise.all(running.filter(({ _id }) => !done.has(_id)).map(pause));
  }
  const migrations = [...done.values()];
  return { stopped: true, schedule, migrations, unanswered: migrations.filter(isUnanswered).length };
}

/**
 * Starts automation again and resumes what `stopAutomation` paused. What a person paused before or since stays paused.
 *
 * @throws DroverError `Unavailable` when Temporal can't be reached
 */
export async function startAutomation(context: ControlContext, by: string): Promise<AutomationChange> {
  const { catalog } = context;
  // Last of all, new moves may begin: should something fail before, all of it can be said again.
  const waiting = (await catalog.migrations.list({ state: 'running' })).filter(isPausedByStop);
  const migrations = await Promise.all(waiting.map((migration) => resumeOne(context, migration, by)));
  const schedule = await changeSchedule(context, async (handle, { paused, note }) => {
    if (paused && note?.startsWith(NOTE) !== true) return 'paused';
    if (paused) await handle.unpause(`drover start by ${by}`);
    return 'running';
  });
  await catalog.settings.setAutomationStopped(false, by, new Date());
  return { stopped: false, schedule, migrations, unanswered: migrations.filter(isUnanswered).length };
}

const UNANSWERED = 'it could not be asked: ';
const isUnanswered = ({ note }: AffectedMigration) => note?.startsWith(UNANSWERED) === true;

async function pauseOne(context: ControlContext, migration: MigrationDocument, by: string): Promise<AffectedMigration> {
  const { keyspace, partition } = migration;
  try {
    const { paused, phase } = await migrationProgress(context, keyspace, partition);
    if (paused) return affected(migration, phase, 'left', 'it was paused already');
    await markPausedByStop(context.catalog, migration._id);
    const after = await updateMigration(context, keyspace, partition, 'pause', { by: `${NOTE} by ${by}` });
    return affected(migration, after.phase, 'paused');
  } catch (error) {
    return refused(migration, error);
  }
}

async function resumeOne(
  context: ControlContext,
  migration: MigrationDocument,
  by: string,
): Promise<AffectedMigration> {
  const { keyspace, partition } = migration;
  try {
    const { paused, phase } = await migrationProgress(context, keyspace, partition);
    if (paused) await updateMigration(context, keyspace, partition, 'resume', { by: `drover start by ${by}` });
    await clearPausedByStop(context.catalog, migration._id);
    return affected(migration, phase, 'resumed');
  } catch (error) {
    return refused(migration, error);
  }
}

function refused(migration: MigrationDocument, error: unknown): AffectedMigration {
  if (!(error instanceof DroverError)) throw error;
  const note = error.code === 'InvalidRequest' ? error.message : `${UNANSWERED}${error.message}`;
  return affected(migration, migration.phase, 'left', note);
}

const affected = (
  { keyspace, partition, source, target }: MigrationDocument,
  phase: string,
  outcome: AffectedMigration['outcome'],
  note?: string,
): AffectedMigration => ({
  keyspace,
  partition,
  source,
  target,
  outcome,
  phase,
  ...(note === undefined ? {} : { note }),
});

async function changeSchedule(
  context: ControlContext,
  change: (
    handle: ScheduleHandle,
    state: { readonly paused: boolean; readonly note?: string },
  ) => Promise<'paused' | 'running'>,
): Promise<AutomationChange['schedule']> {
  const temporal = await context.temporal();
  const handle = temporal.schedule.getHandle(FORECAST_SCHEDULE_ID);
  try {
    const { state } = await handle.describe();
    return await change(handle, { paused: state.paused, ...(state.note === undefined ? {} : { note: state.note }) });
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return 'none';
    throw error;
  }
}

/** Says in the error that the most important part was done. */
async function whileStopped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new DroverError(
      'Unavailable',
      `nothing new begins from now on, but running moves could not be paused and may go on: ${messageOf(error)}`,
    );
  }
}
