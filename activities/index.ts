import type { AnomalyActivities } from './anomalies.js';
import { createAnomalyActivities } from './anomalies.js';
import type { CopyActivities } from './copy.js';
import { createCopyActivities } from './copy.js';
import type { CutoverActivities } from './cutover.js';
import { createCutoverActivities } from './cutover.js';
import type { Dependencies } from './dependencies.js';
import type { ForecastActivities } from './forecast.js';
import { createForecastActivities } from './forecast.js';
import type { LifecycleActivities } from './lifecycle.js';
import { createLifecycleActivities } from './lifecycle.js';
import type { RepairActivities } from './repair.js';
import { createRepairActivities } from './repair.js';

/** Short activities that decide and steer: task queue `drover-control`. */
export type ControlActivities = LifecycleActivities &
  CutoverActivities &
  ForecastActivities &
  AnomalyActivities &
  RepairActivities;
/** Long ones that carry data: task queue `drover-data`. */
export type DataActivities = CopyActivities;

export const createControlActivities = (dependencies: Dependencies): ControlActivities => ({
  ...createLifecycleActivities(dependencies),
  ...createCutoverActivities(dependencies),
  ...createForecastActivities(dependencies),
  ...createAnomalyActivities(dependencies),
  ...createRepairActivities(dependencies),
});

export const createDataActivities = (dependencies: Dependencies): DataActivities => createCopyActivities(dependencies);

export type { PlannedMoveSummary } from './plan.js';
export type { AdoptedMove } from './lifecycle.js';
export type { ClaimRequest } from './claim.js';
export type { Dependencies, MigrationPolicy, Move, MovePlan } from './dependencies.js';
export { Janitor } from './janitor.js';
