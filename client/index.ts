/**
 * The control side as a library, the package's export `drover/client`: every command as a typed function.
 *
 * @example
 * const control = await openControl();
 * await migrate(control, { keyspace: 'shop.orders', partition: 'p3', target: 'eu-1' });
 * await waitForMigration(control, 'shop.orders', 'p3');
 * await control.close();
 */
export {
  ingestAccessLog,
  type IngestionFigures,
  type IngestionRequest,
  type IngestionResult,
} from './access-ingestion.js';
export {
  accessPatterns,
  type AccessPatternsReport,
  type AccessPatternsRequest,
  type PartitionPattern,
  type RecommendedSplit,
  type ShapePattern,
} from './access-patterns.js';
export type { ProfiledNode } from './profiles.js';
export type { PartitionScores } from './access-scores.js';
export { topAccesses, type AccessTopReport, type AccessTopRequest } from './access-top.js';
export type { Traffic } from './traffic.js';
export { adoptKeyspace, planAdoption, type AdoptionPlan, type AdoptionRequest } from './adoption.js';
export { startAutomation, stopAutomation, type AffectedMigration, type AutomationChange } from './automation.js';
export { openControl, type ControlContext } from './context.js';
export { approveDecision, listDecisions, rejectDecision, showDecision } from './decisions.js';
export { plan, runForecast, type ForecastRequest } from './forecasts.js';
export {
  forecastEntity,
  forecastNode,
  type EntityForecastRequest,
  type ForecastOnDemand,
  type NodeForecastRequest,
} from './forecast-on-demand.js';
export type { KeyType } from './key-types.js';
export { showForecast, type ShowForecastOptions, type ShownForecast, type ShownSeries } from './shown-forecast.js';
export {
  createKeyspace,
  listKeyspaces,
  showKeyspace,
  type CreateKeyspaceRequest,
  type KeyspaceDetails,
  type KeyspaceShare,
  type KeyspaceSummary,
} from './keyspaces.js';
export { planMigration, type MigrationPlan, type PlannedMigration } from './migration-plan.js';
export { followMigration, migrationStatus, type MigrationStatus } from './migration-status.js';
export {
  amendWeights,
  listMigrations,
  migrate,
  migrationProgress,
  steer,
  waitForMigration,
  type SteeringVerb,
} from './migrations.js';
export { showNode, type NodeDetails, type NodePartition } from './node-details.js';
export { probeNodes, type ProbedNode } from './node-probes.js';
export { addNode, listNodes, registerNodes, removeNode, type AddNodeRequest, type NodeSummary } from './nodes.js';
export {
  listPartitions,
  showPartition,
  type PartitionDetails,
  type PartitionSummary,
  type RegionRequests,
} from './partitions.js';
export { planRelease, releaseKeyspace, type ReleasePlan } from './release.js';
export { showPolicy } from './policy.js';
export { verifyCopies, type VerificationReport, type VerificationRequest } from './verification.js';
export { DroverError, ErrorCode } from '../domain/errors.js';
export type { EntitySize, NodeGrowth, SizeGrowth } from '../domain/size-growth.js';
export type { DecisionDocument, DecisionState } from '../store/catalog/decisions.js';
export type { ForecastDocument } from '../store/catalog/forecasts.js';
export type { BoundaryStepRecord, MigrationDocument, MigrationState } from '../store/catalog/migrations.js';
export type { NodeProbe } from '../store/catalog/nodes.js';
export type {
  DecisionRequest,
  ForecastSummary,
  MigrationInput,
  MigrationProgress,
  MigrationResult,
  SteeringRequest,
} from '../workflows/messages.js';
