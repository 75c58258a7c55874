import type { Entry, Verdict } from './linearizability.js';
import { check } from './linearizability.js';
import type { Operation, State } from './model.js';
import { changesNothing } from './model.js';

/** What can have gone wrong: a write is missing, a state has come back, a write was done twice, an answer was out of date. */
export type ViolationKind = 'lost' | 'resurrected' | 'duplicate' | 'stale';

export interface Violation {
  readonly kind: ViolationKind;
  /** The answer that can't be explained. */
  readonly entry: Entry;
  /** What the document could have been before it. */
  readonly states: readonly State[];
  /** The operation that was lost, undone, done twice, or answered wrongly, as far as one explains it. */
  readonly culprit?: Entry;
}

export interface Findings {
  readonly violations: readonly Violation[];
  /** The search was given up. */
  readonly undecided: boolean;
}

/** How many operations before the unexplained answer are tried as its cause. */
const CANDIDATES = 300;
const MOST_VIOLATIONS = 10;

/** Operations that can be seen to be done twice. */
const COUNTING: ReadonlySet<Operation['kind']> = new Set(['increment', 'upsert', 'findAndIncrement']);

/** A change of the history that would make it explicable, if only this one thing had gone wrong. */
interface Hypothesis {
  readonly kind: ViolationKind;
  readonly culprit: Entry;
  readonly entries: readonly Entry[];
}

/**
 * All that is wrong with a document's history. Where an answer can't be explained, the one fault is looked for that explains
 * most of what follows; then the history is held against that fault and the search goes on.
 *
 * @param isFinal tells the read of what is stored in the end, which is what it is
 */
export function findViolations(history: readonly Entry[], isFinal: (entry: Entry) => boolean = () => false): Findings {
  const violations: Violation[] = [];
  let entries = history;
  for (;;) {
    const verdict = check(entries);
    if (verdict.kind !== 'violated') return { violations, undecided: verdict.kind === 'undecided' };
    const { entry, states } = verdict;
    const best = bestHypothesis(entries, verdict, isFinal);
    violations.push({ kind: best?.kind ?? 'lost', entry, states, ...(best && { culprit: best.culprit }) });
    if (best === undefined || violations.length === MOST_VIOLATIONS) return { violations, undecided: false };
    entries = best.entries;
  }
}

function bestHypothesis(
  entries: readonly Entry[],
  { entry: failing }: Verdict & { kind: 'violated' },
  isFinal: (entry: Entry) => boolean,
): Hypothesis | undefined {
  let best: Hypothesis | undefined;
  let furthest = failing.completion!.at;
  for (const hypothesis of hypotheses(entries, failing, isFinal)) {
    const verdict = check(hypothesis.entries, { limit: 50_000 });
    const reached =
      verdict.kind === 'violated'
        ? verdict.entry.completion!.at
        : verdict.kind === 'undecided'
          ? -Infinity
          : Number.POSITIVE_INFINITY;
    if (reached <= furthest) continue;
    [best, furthest] = [hypothesis, reached];
    if (reached === Number.POSITIVE_INFINITY) break;
  }
  return best;
}

/** The likeliest first: the latest operations, and an answer out of date before a write that was not kept. */
function* hypotheses(
  entries: readonly Entry[],
  failing: Entry,
  isFinal: (entry: Entry) => boolean,
): Generator<Hypothesis> {
  const before = entries
    .filter((entry) => entry.completion !== undefined && entry.invokedAt <= failing.completion!.at)
    .sort((a, b) => b.invokedAt - a.invokedAt)
    .slice(0, CANDIDATES);
  const without = (culprit: Entry) => entries.filter((entry) => entry !== culprit);
  const effective = before.filter(({ operation, completion }) => !changesNothing(operation, completion!.answer));

  if (changesNothing(failing.operation, failing.completion!.answer) && !isFinal(failing)) {
    yield { kind: 'stale', culprit: failing, entries: without(failing) };
  }
  for (const culprit of effective) {
    const { id, operation, invokedAt } = culprit;
    const kind = operation.kind === 'delete' ? 'resurrected' : 'lost';
    yield { kind, culprit, entries: [...without(culprit), { id, operation, invokedAt }] };
  }
  for (const culprit of effective) {
    const { operation, invokedAt } = culprit;
    const kind = COUNTING.has(operation.kind) ? 'duplicate' : 'resurrected';
    yield { kind, culprit, entries: [...entries, { id: `${culprit.id} again`, operation, invokedAt }] };
  }
  // Something that had been overwritten or deleted is back, without anybody having written it.
  const back = failing.completion!.answer.document ?? null;
  if (back === null) return;
  const writer = entries.find(({ operation }) => 'value' in operation && operation.value === back.value);
  if (writer === undefined) return;
  const operation = { kind: 'return', state: back } as const;
  const returned: Entry = { id: `${writer.id} returns`, operation, invokedAt: writer.invokedAt };
  yield { kind: 'resurrected', culprit: writer, entries: [...entries, returned] };
}
