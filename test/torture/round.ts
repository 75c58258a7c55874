import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listMigrations } from '../../client/migrations.js';
import { random } from '../../examples/random.js';
import { checkAgreement } from './agreement.js';
import type { TortureCluster } from './cluster.js';
import { NODES, PARTITIONS, startTortureCluster } from './cluster.js';
import { keepEvidence } from './evidence.js';
import type { FaultCounts, FaultKind } from './faults.js';
import { Faults } from './faults.js';
import type { Finding } from './findings.js';
import { historyTime, readHistories } from './history.js';
import type { Entry } from './linearizability.js';
import type { State } from './model.js';
import { Moments } from './moments.js';
import { Mover } from './mover.js';
import { checkAtRest } from './rest.js';
import { describeViolation } from './story.js';
import { findViolations } from './violations.js';

export interface RoundOptions {
  readonly seed: number;
  /** How long faults are thrown; by default 60 to 90 s, by the seed. */
  readonly faultsMs?: number;
  readonly kinds?: readonly FaultKind[];
  /** Servers with three members; by default by the seed. */
  readonly threeMembers?: readonly string[];
  readonly log: (line: string) => void;
  /** Ends the round early. */
  readonly signal?: AbortSignal;
}

export interface RoundResult {
  readonly seed: number;
  readonly findings: readonly Finding[];
  readonly migrations: Readonly<Record<string, number>>;
  readonly faults: FaultCounts;
  readonly operations: number;
  readonly writesAcknowledged: number;
  readonly requestsFailed: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Documents whose history had too many possibilities. */
  readonly undecided: number;
  readonly histories: ReadonlyMap<string, readonly Entry[]>;
  /** Kept when something was found. */
  readonly directory: string;
}

/** After the last fault has been lifted, every migration has to end within this time. */
const SETTLE_MS = 90_000;

/** One round on a cluster of its own: faults under load, then calm, then everything is looked at. */
export async function runRound(options: RoundOptions): Promise<RoundResult> {
  const { seed, log } = options;
  const next = random(seed);
  const threeMembers = options.threeMembers ?? topology(next);
  const directory = await mkdtemp(join(tmpdir(), 'drover-torture-'));
  log(`round ${seed} in ${directory}; of three members: ${threeMembers.join(', ') || 'none'}`);
  const cluster = await startTortureCluster({ directory, seed, threeMembers });
  let passed = false;
  try {
    const result = await torture(cluster, options, next);
    passed = result.findings.length === 0;
    return result;
  } finally {
    await cluster.stop();
    if (passed || options.signal?.aborted) await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function topology(next: () => number): string[] {
  const roll = next();
  const node = NODES[next() < 0.5 ? 0 : 1].name;
  if (roll < 0.5) return [];
  if (roll < 0.7) return [node];
  return roll < 0.85 ? ['catalog'] : [node, 'catalog'];
}

async function torture(cluster: TortureCluster, options: RoundOptions, next: () => number): Promise<RoundResult> {
  const { seed, log, kinds, signal } = options;
  const { control, routers, directory } = cluster;
  const findings: Finding[] = [];
  const moments = new Moments(cluster.catalog);
  // A stream of chance for each, so that the one's timing does not change what the other draws.
  const movers = PARTITIONS.map((name, i) => new Mover(control, name, random(seed * 1_000 + 100 + i), log));
  const faults = new Faults(cluster, movers, moments, seed * 1_000 + 200, log, kinds);
  await sleep(options.faultsMs ?? 60_000 + next() * 30_000, undefined, { ...(signal && { signal }) });
  await faults.lift();
  log('  all faults are over');
  const stuck = (await Promise.all(movers.map((mover) => mover.settle(SETTLE_MS)))).flat();
  findings.push(
    ...stuck.map((text): Finding => ({ kind: 'stuck', text: `${SETTLE_MS / 1000} s after the last progress ${text}` })),
  );
  if (stuck.length === 0) findings.push(...(await checkAgreement(cluster, next)));
  if (findings.length > 0) await keepEvidence(control, directory).catch((error: unknown) => log(String(error)));
  await faults.stop();
  await moments.close();
  for (const router of routers) {
    await router.quiet('stop').catch((error: Error) => findings.push({ kind: 'stuck', text: error.message }));
  }
  const atRest = await checkAtRest(cluster);
  findings.push(...atRest.findings);

  const { byDocument, failures, ...figures } = await readHistories(join(directory, 'histories'));
  const histories = new Map(
    [...byDocument].map(([id, entries]) => [id, withFinalRead(entries, atRest.content.get(id))]),
  );
  let undecided = 0;
  for (const [document, history] of histories) {
    const { violations, ...found } = findViolations(history, ({ id }) => id === FINAL_READ);
    if (found.undecided) undecided += 1;
    for (const violation of violations) findings.push(describeViolation(document, violation, history));
  }
  const requestsFailed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  const migrations = await outcomes(cluster);
  if (migrations['failed'])
    findings.push({ kind: 'stuck', text: `${migrations['failed']} migrations failed half-way` });
  return {
    ...figures,
    ...{ seed, findings, migrations, faults: faults.counts, requestsFailed, failures, undecided, histories, directory },
  };
}

/** Migrations by how they ended. */
async function outcomes({ control }: TortureCluster): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { state } of await listMigrations(control)) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

export const FINAL_READ = 'what is stored';

function withFinalRead(history: readonly Entry[], document: State = null): Entry[] {
  const at = historyTime();
  const answer = { found: document !== null, document };
  return [...history, { id: FINAL_READ, operation: { kind: 'read' }, invokedAt: at, completion: { at, answer } }];
}
