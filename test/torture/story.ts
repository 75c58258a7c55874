import type { Finding, FindingKind } from './findings.js';
import type { Entry } from './linearizability.js';
import type { Operation } from './model.js';
import { stateKey } from './model.js';
import type { Violation } from './violations.js';

/** How many operations around the unexplained answer are told. */
const TOLD = 14;

/** A stale answer misses what was acknowledged; nothing stored need be wrong. */
const COUNTED_AS: Readonly<Record<Violation['kind'], FindingKind>> = {
  lost: 'lost',
  stale: 'lost',
  resurrected: 'resurrected',
  duplicate: 'duplicates',
};

/** What is wrong with a document, with the operations that led to it. */
export function describeViolation(document: string, violation: Violation, history: readonly Entry[]): Finding {
  const { kind, entry, states, culprit } = violation;
  const origin = Math.min(...history.map(({ invokedAt }) => invokedAt));
  const end = entry.completion!.at;
  const before = history
    .filter(({ invokedAt }) => invokedAt <= end)
    .sort((a, b) => a.invokedAt - b.invokedAt)
    .slice(-TOLD);
  const told = culprit === undefined || before.includes(culprit) ? before : [culprit, ...before];
  const mark = (each: Entry) => (each.id === entry.id ? '>>' : each.id === culprit?.id ? ' *' : '  ');
  const lines = told.map((each) => `    ${mark(each)} ${line(each, origin)}`);
  const head = `${document}: ${kind}; it could be ${states.map(stateKey).slice(0, 6).join(' or ')}`;
  const cause = culprit === undefined ? '' : `, explained by ${culprit.id}`;
  return { kind: COUNTED_AS[kind], document, text: [`${head}${cause}`, ...lines].join('\n') };
}

function line({ id, operation, invokedAt, completion }: Entry, origin: number): string {
  const seconds = (at: number) => ((at - origin) / 1e9).toFixed(3);
  const { document, found } = completion?.answer ?? {};
  const answer = document === undefined ? (found === true ? 'found' : 'not there') : stateKey(document);
  const times = `${seconds(invokedAt)} to ${completion === undefined ? '?' : seconds(completion.at)} s`;
  return `${times}  ${id}  ${what(operation)}  ${completion === undefined ? 'unknown' : answer}`;
}

const what = (operation: Operation): string =>
  operation.kind === 'findAndIncrement' ? `${operation.kind} (${operation.returns})` : operation.kind;
