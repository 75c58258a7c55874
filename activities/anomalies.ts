import { createHash } from 'node:crypto';
import { compareNames } from '../domain/names.js';
import type { AnomalyDocument } from '../store/catalog/anomalies.js';
import type { Found } from './anomaly-watch.js';
import { AnomalyWatch } from './anomaly-watch.js';
import type { Dependencies } from './dependencies.js';
import { withHeartbeat } from './heartbeat.js';
import { GRACE_MS } from './request-history.js';

/** Windows are at least so long, whatever the policy says: detection remembers weeks of them. */
const LEAST_WINDOW_MS = 60_000;
/** More than a plan decides on at a time. */
const MOST_PARTITIONS = 200;
/** What was found in windows longer ago, such as by a worker that has just begun, starts nothing any more. */
const FRESH_WINDOWS = 2;

/** Partitions of one keyspace whose load is not as it was expected. */
export interface Reevaluation {
  readonly keyspace: string;
  /** End of the last window that was looked at, Drover's time. */
  readonly window: number;
  readonly partitions: readonly string[];
  /** Of their names, for the workflow's id. Looks of earlier versions have none. */
  readonly digest?: string;
  /** What was found, in a sentence. */
  readonly reason: string;
  /** Those that are through with it: all of their partitions are among these, or were evaluated a short time before. */
  readonly anomalies: readonly string[];
}

export interface AnomalyCheck {
  readonly found: number;
  readonly reevaluations: readonly Reevaluation[];
  readonly note?: string;
}

export function createAnomalyActivities(dependencies: Dependencies) {
  const { catalog, anomalies: policy } = dependencies;
  const windowMs = policy.window * Math.ceil(LEAST_WINDOW_MS / policy.window);
  const watches = new Map<string, AnomalyWatch>();
  /** One look after the other: a watch takes each window once. */
  let looking: Promise<unknown> = Promise.resolve();

  async function look(keyspace: string, now: number, signal: AbortSignal): Promise<Found[]> {
    const end = Math.floor((now - GRACE_MS) / windowMs) * windowMs;
    const partitions = await catalog.partitions.list(keyspace);
    const owners = new Map(partitions.map(({ name, route }) => [name, route.source]));
    let watch = watches.get(keyspace);
    if (watch === undefined) {
      watch = new AnomalyWatch(catalog.access, keyspace, windowMs, policy.history);
      watches.set(keyspace, watch);
    }
    const found = await watch.lookUpTo(end, owners, signal);
    const fresh = found.filter(({ at }) => at >= end - FRESH_WINDOWS * windowMs);
    await catalog.anomalies.record(fresh.map((each) => documentOf(keyspace, each, owners, now)));
    watch.told();
    return fresh;
  }

  /** Of what was found and not evaluated yet; what was evaluated a short time before is left out. */
  async function due(keyspace: string, now: number): Promise<Reevaluation | undefined> {
    const from = new Date(now - policy.coolDown - (FRESH_WINDOWS + 1) * windowMs);
    const open = await catalog.anomalies.list({ keyspace, from, reevaluation: { $exists: false } });
    if (open.length === 0) return undefined;
    const lately = await catalog.anomalies.reevaluatedSince(keyspace, new Date(now - policy.coolDown));
    const { partitions, chosen, settled } = chooseAnomalies(open, lately, MOST_PARTITIONS);
    await catalog.anomalies.setReevaluation(
      settled.map(({ _id }) => _id),
      null,
      new Date(now),
    );
    if (chosen.length === 0) return undefined;
    const window = Math.max(...chosen.map(({ at }) => at.getTime())) + windowMs;
    return {
      ...{ keyspace, window, partitions },
      digest: digestOf(partitions),
      reason: chosen.slice(0, 3).map(describeAnomaly).join('; '),
      anomalies: chosen.map(({ _id }) => _id),
    };
  }

  return {
    /** Looks at the windows that have ended since the last look. */
    findAnomalies: (): Promise<AnomalyCheck> =>
      withHeartbeat(async (_report, signal) => {
        const earlier = looking;
        let done!: () => void;
        looking = new Promise<void>((resolve) => (done = resolve));
        await earlier;
        try {
          const now = dependencies.now();
          const keyspaces = (await catalog.keyspaces.list()).map(({ _id }) => _id);
          let found = 0;
          for (const keyspace of keyspaces) found += (await look(keyspace, now, signal)).length;
          for (const known of watches.keys()) if (!keyspaces.includes(known)) watches.delete(known);
          if (await catalog.settings.automationStopped()) {
            return { found, reevaluations: [], note: 'all automation is stopped: nothing is evaluated anew' };
          }
          const reevaluations = await Promise.all(keyspaces.map((keyspace) => due(keyspace, now)));
          return { found, reevaluations: reevaluations.filter((each) => each !== undefined) };
        } finally {
          done();
        }
      }),

    recordReevaluation: async ({ anomalies, workflowId }: ReevaluationRecord): Promise<void> => {
      await catalog.anomalies.setReevaluation(anomalies, workflowId, new Date(dependencies.now()));
    },
  };
}

interface Choice {
  readonly partitions: readonly string[];
  /** Their partitions are among these. */
  readonly chosen: readonly AnomalyDocument[];
  /** There is nothing to do for them. */
  readonly settled: readonly AnomalyDocument[];
}

/**
 * Which findings are evaluated at once: whole ones, in their order, as many as there is room for. The others' turn is the next
 * time.
 *
 * @param lately partitions that were evaluated a short time before: they are left out
 * @param most partitions; no finding has more
 */
export function chooseAnomalies(open: readonly AnomalyDocument[], lately: ReadonlySet<string>, most: number): Choice {
  const partitions = new Set<string>();
  const chosen: AnomalyDocument[] = [];
  const settled: AnomalyDocument[] = [];
  for (const each of open) {
    const due = each.partitions.filter((name) => !lately.has(name));
    const added = due.filter((name) => !partitions.has(name));
    if (due.length === 0) settled.push(each);
    else if (partitions.size + added.length <= most) {
      chosen.push(each);
      for (const name of added) partitions.add(name);
    }
  }
  return { partitions: [...partitions], chosen, settled };
}

/** The same for the same partitions, in whatever order they were found. */
const digestOf = (partitions: readonly string[]): string =>
  createHash('sha256')
    .update(JSON.stringify([...partitions].sort(compareNames)))
    .digest('hex')
    .slice(0, 12);

export interface ReevaluationRecord {
  readonly anomalies: readonly string[];
  readonly workflowId: string;
}

export type AnomalyActivities = ReturnType<typeof createAnomalyActivities>;

function documentOf(
  keyspace: string,
  { of, subject, at, anomaly }: Found,
  owners: ReadonlyMap<string, string>,
  now: number,
): AnomalyDocument {
  const { kind, direction, value, expected, windows, score } = anomaly;
  const onNode = [...owners].filter(([, node]) => node === subject).map(([name]) => name);
  return {
    _id: `${keyspace}/${subject}/${new Date(at).toISOString()}`,
    ...{ keyspace, subject, of, kind, direction, value, expected, windows, score },
    partitions: of === 'partition' ? [subject] : onNode.slice(0, MOST_PARTITIONS),
    at: new Date(at),
    foundAt: new Date(now),
  };
}

const SAYS: Readonly<Record<AnomalyDocument['kind'], string>> = {
  spike: 'a spike',
  drop: 'a drop',
  'level-shift': 'another level',
  record: 'more than in all of the last weeks',
  'lost-traffic': 'lost traffic',
};

const describeAnomaly = ({ subject, kind, value, expected }: AnomalyDocument): string =>
  `${subject}: ${SAYS[kind]} (${Math.round(value)} requests instead of ${Math.round(expected)})`;
