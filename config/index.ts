export { accessBucketMs } from './access-schema.js';
export { createClock, type Clock } from './clock.js';
export { configurationJsonSchema } from './json-schema.js';
export { loadConfiguration, type LoadOptions } from './load.js';
export { createLogger, type Logger, type LoggerOptions } from './logger.js';
export {
  configurationSchema,
  FORECAST_MODELS,
  LOG_LEVELS,
  MODES,
  policySchema,
  type AccessPolicy,
  type ClockConfiguration,
  type Configuration,
  type DecisionPolicy,
  type ForecastModel,
  type ForecastPolicy,
  type LogLevel,
  type MigrationPolicy,
  type Mode,
  type NodeConfiguration,
  type PlanPolicy,
  type Policy,
  type ScorePolicy,
  type ScoreWeights,
  type TemporalConfiguration,
} from './schema.js';
export { temporalConnectionOptions } from './temporal-connection.js';
export { Secrets, type SecretSources } from './secrets.js';
export { environmentName } from './environment.js';
