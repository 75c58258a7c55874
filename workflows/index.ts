export { admissionWorkflow } from './admission.js';
export { anomalyWorkflow } from './anomaly.js';
export { decisionWorkflow } from './decision.js';
export { forecastWorkflow } from './forecast.js';
export { migrationWorkflow } from './migration.js';
export { recoveryWorkflow, repairWorkflow } from './recovery.js';
