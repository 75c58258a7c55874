import { parseArgs } from 'node:util';
import { FAULT_KINDS } from './faults.js';
import { FINDING_KINDS, type Finding } from './findings.js';
import { runRound, type RoundResult } from './round.js';

/**
 * Random faults under load, for as long as asked: `npm run torture -- --minutes 30 --seed 7`. Round after round, each with
 * the next seed, on a cluster of its own. Ends with the figures; exit code 1 when anything was lost, came back, was done
 * twice, or got stuck.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    /** Only these kinds, separated by commas; `none` for a calm round. */
    faults: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const kinds = values.faults === undefined ? FAULT_KINDS : FAULT_KINDS.filter((kind) => values.faults!.includes(kind));
const first = Number(values.seed);
const begun = Date.now();
// With --json nothing but the figures is on standard output.
const say = values.json ? console.error : console.log;
const log = (line: string) => say(`${new Date().toISOString().slice(11, 23)} ${line}`);
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

const rounds: RoundResult[] = [];
let failedRounds = 0;
const findings: Finding[] = [];
const isOver = () => Date.now() - begun > Number(values.minutes) * 60_000 || interrupted.signal.aborted;
say(`seed ${first}`);
do {
  const seed = first + rounds.length + failedRounds;
  try {
    const round = await runRound({ seed, kinds, log, signal: interrupted.signal });
    rounds.push(round);
    findings.push(...round.findings);
    tell(round);
  } catch (error) {
    if (interrupted.signal.aborted) break;
    const text = `round ${seed} could not be finished: ${error instanceof Error ? (error.stack ?? '') : String(error)}`;
    findings.push({ kind: 'stuck', text });
    failedRounds += 1;
    log(text);
  }
} while (!isOver());

function tell({ seed, operations, migrations, faults, undecided, failures, findings: found, directory }: RoundResult) {
  log(`  ${operations} operations, migrations ${JSON.stringify(migrations)}, ${faults.total} faults`);
  log(`  requests failed: ${JSON.stringify(failures)}`);
  if (undecided > 0) log(`  ${undecided} documents could not be decided`);
  for (const { kind, text } of found) log(`  ${kind}: ${text}`);
  log(found.length === 0 ? `round ${seed} passed` : `round ${seed} FAILED; everything is kept in ${directory}`);
}

const sum = (of: (round: RoundResult) => number) => rounds.reduce((total, round) => total + of(round), 0);
const count = (kind: Finding['kind']) => findings.filter((finding) => finding.kind === kind).length;
const addUp = (of: (round: RoundResult) => Readonly<Record<string, number>>) => {
  const total: Record<string, number> = {};
  for (const [name, n] of rounds.flatMap((round) => Object.entries(of(round)))) total[name] = (total[name] ?? 0) + n;
  return total;
};
const summary = {
  seed: first,
  minutes: Math.round((Date.now() - begun) / 6_000) / 10,
  rounds: rounds.length,
  migrations: sum(({ migrations }) => migrations['completed'] ?? 0),
  rollbacks: sum(({ migrations }) => migrations['rolledBack'] ?? 0),
  failovers: 0,
  faults: {
    total: sum(({ faults }) => faults.total),
    ...addUp(({ faults }) => faults.kinds),
    atMoments: addUp(({ faults }) => faults.moments),
  },
  operations: sum(({ operations }) => operations),
  writesAcknowledged: sum(({ writesAcknowledged }) => writesAcknowledged),
  ...Object.fromEntries(FINDING_KINDS.map((kind) => [kind, count(kind)])),
  undecided: sum(({ undecided }) => undecided),
  requestsFailed: sum(({ requestsFailed }) => requestsFailed),
};
console.log(values.json ? JSON.stringify(summary) : JSON.stringify(summary, null, 2));
process.exit(interrupted.signal.aborted ? 130 : findings.length > 0 ? 1 : 0);
