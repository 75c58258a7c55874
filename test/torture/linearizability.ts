import type { Answer, Operation, State } from './model.js';
import { agrees, apply, stateKey } from './model.js';

/** One operation on one document. Times are of one clock for all processes. */
export interface Entry {
  readonly id: string;
  readonly operation: Operation;
  readonly invokedAt: number;
  /** With neither answer nor completion it may have been done at any time since, may be done later, or never. */
  readonly completion?: { readonly at: number; readonly answer: Answer };
}

export type Verdict =
  | { readonly kind: 'linearizable'; readonly states: readonly State[] }
  /** No order of the operations explains `entry`'s answer; before it, the document could be in `states`. */
  | { readonly kind: 'violated'; readonly entry: Entry; readonly states: readonly State[] }
  /** Too many possibilities. */
  | { readonly kind: 'undecided'; readonly entry: Entry };

/** One way in which everything up to now may have happened. */
interface Configuration {
  readonly state: State;
  /** Operations that have taken effect and have yet to complete. */
  readonly early: bigint;
  /** Operations of unknown outcome that have taken effect. */
  readonly spent: bigint;
  /** The operation of unknown outcome that took effect last, when nothing has since, and the state before it. */
  readonly guess?: { readonly before: State; readonly operation: Operation };
}

interface Pending {
  readonly entry: Entry;
  readonly bit: bigint;
}

/**
 * Whether a document's history is linearizable: whether each operation can be thought of as done at one moment between
 * its invocation and its completion, so that all answers are those of the model.
 *
 * This is the search of Wing and Gong with Lowe's memory, done just in time: events are taken in the order of time, and
 * the set of configurations that are possible is carried along. When an operation completes, each configuration is
 * extended by pending operations until that one has taken effect; those in which it can't are dropped. Where nothing is
 * pending only the state is left, so long histories of little concurrency are cheap.
 *
 * Operations of unknown outcome stay pending for good. Two things keep their number harmless: one takes effect only right
 * before an operation to which it makes a difference; and of two configurations that differ in nothing else, the one that
 * has used up fewer of them can do all that the other can, and is kept alone.
 */
export function check(entries: readonly Entry[], { initial = null as State, limit = 2_000_000 } = {}): Verdict {
  const known = new Map<Entry, Pending>();
  const unknown: Pending[] = [];
  let configurations: readonly Configuration[] = [{ state: initial, early: 0n, spent: 0n }];
  const original = ({ id }: Entry) => entries.find((each) => each.id === id)!;
  let steps = 0;
  let nextBit = 0n;
  for (const { entry, completes } of events(withoutUnseenValues(entries))) {
    if (!completes) {
      if (entry.completion === undefined) unknown.push({ entry, bit: 1n << BigInt(unknown.length) });
      else known.set(entry, { entry, bit: 1n << nextBit++ });
      continue;
    }
    const { bit } = known.get(entry)!;
    const next = new Frontier();
    const reached = new Frontier();
    for (const configuration of configurations) reached.add(configuration);
    for (const configuration of reached) {
      if (++steps > limit) return { kind: 'undecided', entry: original(entry) };
      if ((configuration.early & bit) !== 0n) {
        if (configuration.guess === undefined) next.add({ ...configuration, early: configuration.early ^ bit });
        continue;
      }
      for (const pending of known.values()) {
        const after = withEffectOf(pending, configuration);
        if (after !== undefined) reached.add(after);
      }
      for (const pending of usable(unknown, configuration)) reached.add(withGuess(pending, configuration));
    }
    if (next.size === 0) return { kind: 'violated', entry: original(entry), states: distinct(configurations) };
    configurations = [...next];
    known.delete(entry);
    // Bits are given anew where nothing is pending, so that they stay few.
    if (known.size === 0) nextBit = 0n;
  }
  return { kind: 'linearizable', states: distinct(configurations) };
}

/** After an operation whose answer is known; undefined when it can't be next. */
function withEffectOf({ entry, bit }: Pending, configuration: Configuration): Configuration | undefined {
  const { state, early, spent, guess } = configuration;
  if ((early & bit) !== 0n) return undefined;
  const { operation, completion } = entry;
  const { after, answer } = apply(state, operation);
  if (!agrees(completion!.answer, answer)) return undefined;
  if (guess !== undefined) {
    const without = apply(guess.before, operation);
    // The guess made no difference, or could as well come after this operation: that is another configuration.
    const same = (other: State) => stateKey(other) === stateKey(after);
    const isIdle = same(without.after) || same(apply(without.after, guess.operation).after);
    if (isIdle && agrees(completion!.answer, without.answer)) return undefined;
  }
  return { state: after, early: early | bit, spent };
}

function withGuess({ entry: { operation }, bit }: Pending, { state, early, spent }: Configuration): Configuration {
  const { after } = apply(state, operation);
  return { state: after, early, spent: spent | bit, guess: { before: state, operation } };
}

/** Configurations still to be looked at or carried on, without those that another one covers. */
class Frontier implements Iterable<Configuration> {
  private readonly queue: Configuration[] = [];
  private readonly bySituation = new Map<string, Configuration[]>();
  private dropped = new Set<Configuration>();

  get size(): number {
    return this.queue.length - this.dropped.size;
  }

  add(configuration: Configuration): void {
    const { state, early, spent } = configuration;
    const situation = `${stateKey(state)} ${early}`;
    const rivals = this.bySituation.get(situation) ?? [];
    if (rivals.some((rival) => (rival.spent & spent) === rival.spent)) return;
    const kept = rivals.filter((rival) => (rival.spent & spent) !== spent);
    for (const rival of rivals) if (!kept.includes(rival)) this.dropped.add(rival);
    this.bySituation.set(situation, [...kept, configuration]);
    this.queue.push(configuration);
  }

  /** Also gives what is added meanwhile. */
  *[Symbol.iterator](): Iterator<Configuration> {
    for (let i = 0; i < this.queue.length; i++) {
      const configuration = this.queue[i]!;
      if (!this.dropped.has(configuration)) yield configuration;
    }
  }
}

/** Operations of unknown outcome that may take effect next. Of those that do the same, the earliest stands for all. */
function usable(unknown: readonly Pending[], { spent }: Configuration): Pending[] {
  const represented = new Set<string>();
  return unknown.filter(({ entry: { operation }, bit }) => {
    if ((spent & bit) !== 0n) return false;
    const effect = `${operation.kind} ${'value' in operation ? operation.value : ''}`;
    return operation.kind === 'return' || (!represented.has(effect) && represented.add(effect));
  });
}

/** Values that nobody has ever seen are the same to everybody: it makes fewer states of them. */
function withoutUnseenValues(entries: readonly Entry[]): readonly Entry[] {
  const seen = new Set(entries.map(({ completion }) => completion?.answer.document?.value));
  return entries.map((entry) => {
    const { operation } = entry;
    return 'value' in operation && !seen.has(operation.value)
      ? { ...entry, operation: { ...operation, value: '?' } }
      : entry;
  });
}

function events(entries: readonly Entry[]): { entry: Entry; completes: boolean; at: number }[] {
  return (
    entries
      .flatMap((entry) => [
        { entry, completes: false, at: entry.invokedAt },
        ...(entry.completion === undefined ? [] : [{ entry, completes: true, at: entry.completion.at }]),
      ])
      // At one moment invocations go first: what may have been concurrent is taken as concurrent.
      .sort((a, b) => a.at - b.at || Number(a.completes) - Number(b.completes))
  );
}

const distinct = (configurations: readonly Configuration[]): State[] => [
  ...new Map(configurations.map(({ state }) => [stateKey(state), state])).values(),
];
