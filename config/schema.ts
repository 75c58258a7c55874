import { ConnectionString } from 'mongodb-connection-string-url';
import { z } from 'zod';
import type { CopyLimits } from '../domain/copy-limits.js';
import { isLimit, LEAST_LIMITS } from '../domain/copy-limits.js';
import { checkWeights, DEFAULT_WEIGHTS } from '../domain/weights.js';
import { accessSchema } from './access-schema.js';
import { duration, time } from './duration.js';

/*
 * Every key of drover.yaml, with its unit and default in its description: the descriptions become config/schema.json,
 * which editors show. What is `writeOnly` is a secret: its value never appears in an error.
 *
 * The names of nodes are compared even when something else in a node is wrong (`when`): all problems come out at once.
 */

const share = () => z.number().min(0).max(1);
const limit = (name: keyof CopyLimits) =>
  z
    .number()
    .min(0)
    .refine((value) => isLimit(name, value), {
      error: `0, which is no limit, or at least ${LEAST_LIMITS[name]}`,
      params: { expected: true },
    })
    .default(0);
const count = (least: 0 | 1) => z.number().int().min(least);

const mongoUri = (description: string) =>
  z
    .string()
    .refine(isMongoUri, {
      error:
        'a MongoDB URI such as mongodb://host:27017/?replicaSet=rs0 (special characters in user and password percent-encoded)',
      params: { expected: true },
    })
    .meta({ description, writeOnly: true });

/** Whether the driver would take this URI, and as it was meant. */
export function isMongoUri(uri: string): boolean {
  const [, authority = '', rest = ''] = /^mongodb(?:\+srv)?:\/\/([^/?#]*)([^]*)$/.exec(uri) ?? [];
  // A password with a raw @, /, ? or # parses, too: part of it becomes the host, or the host part of the path.
  const [path = ''] = rest.split('?');
  const misread =
    authority.split('@').length > 2 || path.includes('@') || (rest.includes('@') && !authority.includes('@'));
  if (authority === '' || misread) return false;
  try {
    return new ConnectionString(uri).hosts.length > 0;
  } catch {
    // The parser's message quotes parts of the URI; that it fails is all that may be told.
    return false;
  }
}

const node = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, {
      error: 'lower-case letters, digits and hyphens, beginning with a letter or digit',
    })
    .describe('Name of the node, unique; lower-case letters, digits and hyphens.'),
  region: z.string().min(1).describe('Region the node stands in, such as us-east; requests name the same regions.'),
  uri: mongoUri('MongoDB URI of the node, with its credentials; DROVER_NODE_<NAME> overrides it.'),
  capacity: z
    .strictObject({
      opsPerSecond: z.number().positive().describe('Requests the node can serve, per second.'),
      storageGb: z.number().positive().describe('Data the node can store, in gigabytes (10^9 bytes).'),
    })
    .describe('What the node can bear. Without it, plans do not limit the load of the node.')
    .exactOptional(),
});

const weight = (standard: number, description: string) => z.number().min(0).default(standard).describe(description);

const scoreWeights = z.strictObject({
  frequency: weight(1, 'Weight of the access frequency in the ownership score. Default 1.'),
  affinity: weight(0.5, 'Weight of the client affinity in the ownership score. Default 0.5.'),
  modification: weight(0.25, 'Weight of the modification rate, which is subtracted. Default 0.25.'),
});

const someScoreWeights = z.strictObject({
  frequency: z.number().min(0).describe('Weight of the access frequency.').exactOptional(),
  affinity: z.number().min(0).describe('Weight of the client affinity.').exactOptional(),
  modification: z.number().min(0).describe('Weight of the modification rate, which is subtracted.').exactOptional(),
});

const score = z
  .strictObject({
    weights: scoreWeights.prefault({}).describe('Weights of the ownership score.'),
    bands: z
      .strictObject({
        high: share().default(0.8).describe('Least score of the High band, 0 to 1. Default 0.8.'),
        medium: share().default(0.4).describe('Least score of the Medium band, 0 to 1. Default 0.4.'),
      })
      .superRefine(({ high, medium }, context) => {
        if (high <= medium) {
          const message = `high (${high}) must be above medium (${medium})`;
          context.addIssue({ code: 'custom', message, path: ['high'] });
        }
      })
      .prefault({})
      .describe('Bands of the ownership score.'),
    perType: z
      .record(z.string().min(1), someScoreWeights)
      .default({})
      .describe('Weights per partition type; a weight that is left out is the one of `weights`. Default none.'),
    types: z
      .record(z.string().min(1), z.string().min(1))
      .default({})
      .describe('Types of partitions, by keyspace (shop.orders) or by partition (shop.orders/p3). Default none.'),
  })
  .superRefine(({ perType, types }, context) => {
    for (const [name, type] of Object.entries(types)) {
      if (Object.hasOwn(perType, type)) continue;
      const message = `there is no type "${type}" in perType; there is ${Object.keys(perType).join(', ') || 'none'}`;
      context.addIssue({ code: 'custom', message, path: ['types', name] });
    }
  })
  .prefault({})
  .transform((value) => ({
    ...value,
    perType: Object.fromEntries(
      Object.entries(value.perType).map(([type, weights]) => [type, { ...value.weights, ...weights }]),
    ),
  }))
  .describe('Ownership score.');

/** Families of models that a forecast may try; their weights are found per series by backtest. */
export const FORECAST_MODELS = ['seasonal-naive', 'level', 'profile', 'ets', 'mstl', 'arima', 'prophet'] as const;
export type ForecastModel = (typeof FORECAST_MODELS)[number];

const forecast = z
  .strictObject({
    every: duration(1).prefault('5m').describe('How often forecasts are made. Default 5m.'),
    window: duration(1)
      .exactOptional()
      .describe('Length of one point of the series that is forecast. Default: policy.access.window.'),
    history: duration(1).prefault('7d').describe('How far back a forecast looks. Default 7d.'),
    horizon: duration(1).prefault('1h').describe('How far ahead a forecast looks. Default 1h.'),
    season: z.array(duration(1)).prefault(['1d']).describe('Lengths of the seasons. Default [1d].'),
    level: z
      .number()
      .gt(0)
      .lt(1)
      .default(0.8)
      .describe('Share of future values meant to fall in the prediction interval, between 0 and 1. Default 0.8.'),
    models: z
      .array(z.enum(FORECAST_MODELS))
      .min(1)
      .default(['seasonal-naive', 'level', 'profile', 'ets', 'mstl'])
      .describe('Models in the race. Default [seasonal-naive, level, profile, ets, mstl]: all but the costly ones.'),
  })
  .prefault({})
  .describe('Forecasts of the load.');

const plan = z
  .strictObject({
    trigger: share().default(0.4).describe('Ownership score below which a move is considered, 0 to 1. Default 0.4.'),
    minimumGain: share()
      .default(0.2)
      .describe("Least share of the partition's requests to be served nearer or relieved, 0 to 1. Default 0.2."),
    minimumRequests: z
      .number()
      .min(0)
      .default(50)
      .describe('Requests forecast within the horizon below which nothing is moved. Default 50.'),
    dwell: duration().prefault('30m').describe('Least time between two moves of one partition. Default 30m.'),
    maxMovesPerHour: count(0).default(20).describe('Most moves started per hour; 0 starts none. Default 20.'),
    maxNodeLoad: share()
      .gt(0)
      .default(0.8)
      .describe("Share of a node's capacity that a plan may fill, 0 to 1. Default 0.8."),
  })
  .prefault({})
  .describe('Plans of moves.');

const anomalies = z
  .strictObject({
    every: duration(1)
      .exactOptional()
      .describe('How often anomalies of the load are looked for. Default: policy.access.window.'),
    history: duration(1).prefault('28d').describe('How far back the usual load is learnt from. Default 28d.'),
    coolDown: duration()
      .prefault('30m')
      .describe('Least time between two re-evaluations of one partition because of anomalies. Default 30m.'),
  })
  .prefault({})
  .describe('Anomalies of the load: spikes, other levels, lost traffic.');

const migration = z
  .strictObject({
    concurrency: count(1).default(2).describe('Migrations at one time. Default 2.'),
    perNode: count(1).default(2).describe('Migrations at one time that touch one node. Default 2.'),
    weights: z
      .array(z.number())
      .superRefine((weights, context) => {
        try {
          checkWeights(weights);
        } catch (error) {
          context.addIssue({ code: 'custom', message: (error as Error).message });
        }
      })
      .default([...DEFAULT_WEIGHTS])
      .describe(
        "Steps of a cutover: the target's share of the load in percent, rising to 100. Default [1,5,25,50,100].",
      ),
    dwell: duration().prefault('30s').describe('Time spent at each weight. Default 30s.'),
    soak: duration().prefault('10m').describe('Time after the cutover in which rollback is possible. Default 10m.'),
    maxMegabytesPerSecond: limit('maxMegabytesPerSecond').describe(
      'Most data copied by one migration, in megabytes (10^6 bytes) per second, at least 0.0001; 0 is no limit. Default 0.',
    ),
    maxDocumentsPerSecond: limit('maxDocumentsPerSecond').describe(
      'Most documents copied by one migration per second, at least 0.01; 0 is no limit. Of this and maxMegabytesPerSecond the tighter one binds. ' +
        'Default 0.',
    ),
    stepTimeout: duration(1)
      .prefault('500ms')
      .describe(
        'How long a boundary step lets writes wait for routers, or for replication, before its undo. Default 500ms.',
      ),
    secondaryIndexes: z
      .enum(['after', 'before'])
      .default('after')
      .describe(
        'When a copy gets its indexes: after: when its documents are there, which is the quicker way, but the server builds them at full speed; ' +
          'before: they grow with the documents, at the pace of the copy. Unique ones are always there before. Default after.',
      ),
    onDefinitionChange: z
      .enum(['copy', 'stop'])
      .default('copy')
      .describe(
        'When indexes or options of the collection are changed while it moves: copy: make the change on the other side, too, ' +
          'and stop where that is not possible; stop: roll back. Default copy.',
      ),
    watchWriters: duration()
      .prefault('3s')
      .describe(
        'How long a collection that was adopted is watched for clients that write past the routers, before a move of one of its ' +
          'partitions begins and before its first weight; at most 20s. 0s does not look. Default 3s.',
      ),
    rollbackWhen: z
      .strictObject({
        minimumRequests: z.int().min(1).default(50).describe('Fewer requests at the target say nothing. Default 50.'),
        errorRate: z
          .number()
          .min(0)
          .max(1)
          .default(0.05)
          .describe("How much higher than the source's the target's share of failed requests may be. Default 0.05."),
        latencyFactor: z
          .number()
          .min(1)
          .default(5)
          .describe("How many times the source's mean latency the target's may be. Default 5."),
        latency: duration().prefault('250ms').describe('Mean latency below this is never too long. Default 250ms.'),
        lag: duration(1).prefault('30s').describe('Longest time for a change to reach the other side. Default 30s.'),
      })
      .prefault({})
      .describe('What at the target, in the dwell at a weight or in the soak, rolls a migration back by itself.'),
  })
  .prefault({})
  .describe('Migrations.');

/** The `policy` of drover.yaml; all of it has defaults. */
export const policySchema = z
  .strictObject({
    access: accessSchema,
    score,
    forecast,
    plan,
    anomalies,
    migration,
    decisions: z
      .strictObject({
        expireAfter: duration(1).prefault('1h').describe('Time after which an unanswered decision lapses. Default 1h.'),
      })
      .prefault({})
      .describe('Decisions that wait for approval.'),
  })
  .transform((value) => ({
    ...value,
    forecast: { ...value.forecast, window: value.forecast.window ?? value.access.window },
    anomalies: { ...value.anomalies, every: value.anomalies.every ?? value.access.window },
  }));

export const MODES = ['observe', 'recommend', 'automatic'] as const;
export type Mode = (typeof MODES)[number];

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** All of drover.yaml, after substitution and overrides. */
export const configurationSchema = z.strictObject({
  catalog: mongoUri('MongoDB URI of the catalog, with its credentials; DROVER_CATALOG_URI overrides it. Required.'),
  catalogDatabase: z
    .string()
    .regex(/^[^/\\. "$*<>:|?\0]{1,63}$/, {
      error: 'the name of a database (1 to 63 characters, none of /\\. "$*<>:|?)',
    })
    .default('drover')
    .describe('Database of the catalog. Default drover.'),
  mode: z
    .enum(MODES)
    .default('recommend')
    .describe('observe: only forecast; recommend: decisions wait for approval; automatic: act. Default recommend.'),
  temporal: z
    .strictObject({
      address: z
        .string()
        .min(1)
        .default('localhost:7233')
        .describe('Host and port of the Temporal frontend. Default localhost:7233.'),
      namespace: z.string().min(1).default('default').describe('Temporal namespace. Default default.'),
      tls: z.boolean().exactOptional().describe("Use TLS. Default: as Temporal's client does, on with an API key."),
      apiKey: z
        .string()
        .min(1)
        .meta({ description: 'API key of Temporal Cloud; TEMPORAL_API_KEY overrides it.', writeOnly: true })
        .exactOptional(),
    })
    .prefault({})
    .describe('Temporal server.'),
  nodes: z
    .array(node)
    .superRefine(
      (nodes: readonly unknown[], context) => {
        const seen = new Map<unknown, number>();
        nodes.forEach((entry, i) => {
          const name: unknown = isRecord(entry) ? entry['name'] : undefined;
          if (typeof name !== 'string') return;
          const first = seen.get(name);
          if (first === undefined) seen.set(name, i);
          else context.addIssue({ code: 'custom', message: `is the name of nodes[${first}], too`, path: [i, 'name'] });
        });
      },
      { when: ({ value }) => Array.isArray(value) },
    )
    .default([])
    .describe('Nodes that store partitions. Default none: the nodes are those in the catalog.'),
  policy: policySchema.prefault({}).describe('How Drover measures, foresees, plans and moves.'),
  clock: z
    .strictObject({
      from: time().exactOptional().describe("Drover's time at `startedAt`, ISO 8601. Default: `startedAt`."),
      startedAt: time()
        .exactOptional()
        .describe("Real time at which Drover's time was `from`, ISO 8601. Required with `from` or a rate."),
      rate: z.number().positive().default(1).describe("Seconds of Drover's time per real second. Default 1."),
    })
    .superRefine(({ from, startedAt, rate }, context) => {
      // Without a common start, every process would live in a time of its own.
      if (startedAt === undefined && (from !== undefined || rate !== 1)) {
        context.addIssue({ code: 'custom', message: 'a scaled clock needs startedAt, the same for all processes' });
      }
    })
    .prefault({})
    .describe('A scaled clock for replays and simulations: from + (now - startedAt) * rate. Default: real time.'),
  log: z
    .strictObject({
      level: z.enum(LOG_LEVELS).default('info').describe('Least severe level that is logged. Default info.'),
    })
    .prefault({})
    .describe('Logs.'),
});

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

type DeepReadonly<T> = T extends readonly (infer Entry)[]
  ? readonly DeepReadonly<Entry>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** The whole configuration; lengths of time in milliseconds, points in time in milliseconds since 1970. */
export type Configuration = DeepReadonly<z.output<typeof configurationSchema>> & {
  /** URIs with credentials by node name: of `nodes`, and of nodes that only the catalog knows (`DROVER_NODE_<NAME>`). */
  readonly nodeUris: Readonly<Record<string, string>>;
};

export type NodeConfiguration = Configuration['nodes'][number];
export type TemporalConfiguration = Configuration['temporal'];
export type ClockConfiguration = Configuration['clock'];
/** `policy`, all defaults filled in; lengths of time in milliseconds. */
export type Policy = Configuration['policy'];
export type AccessPolicy = Policy['access'];
export type ScorePolicy = Policy['score'];
export type ScoreWeights = ScorePolicy['weights'];
export type ForecastPolicy = Policy['forecast'];
export type PlanPolicy = Policy['plan'];
export type MigrationPolicy = Policy['migration'];
export type DecisionPolicy = Policy['decisions'];
