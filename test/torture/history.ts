import { openSync, writeSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry } from './linearizability.js';
import type { Answer, Operation } from './model.js';
import { changesNothing } from './model.js';

/** How an operation ended: with an answer, for certain without any effect, or nobody knows. */
export type Outcome =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'refused' | 'unknown'; readonly reason: string };

interface Invocation {
  readonly id: string;
  readonly document: string;
  readonly operation: Operation;
  readonly at: string;
}
interface Completion {
  readonly id: string;
  readonly outcome: Outcome;
  readonly at: string;
}

/**
 * Writes down each operation before it is sent and when it is answered, at once: what a killed process has written is
 * there. Times are those of the machine's monotonic clock, so histories of several processes can be put together.
 */
export class HistoryWriter {
  private readonly file: number;
  private count = 0;

  constructor(
    path: string,
    private readonly process: string,
  ) {
    this.file = openSync(path, 'a');
  }

  /** An id that no other operation of any process has; values are made of it. */
  nextId(): string {
    return `${this.process}:${++this.count}`;
  }

  begin(id: string, document: string, operation: Operation): void {
    this.write({ id, document, operation, at: now() } satisfies Invocation);
  }

  end(id: string, outcome: Outcome): void {
    this.write({ id, outcome, at: now() } satisfies Completion);
  }

  private write(line: Invocation | Completion): void {
    writeSync(this.file, `${JSON.stringify(line)}\n`);
  }
}

const now = () => process.hrtime.bigint().toString();

/** This moment, on the clock of the histories. */
export const historyTime = (): number => Number(process.hrtime.bigint());

export interface Histories {
  readonly byDocument: ReadonlyMap<string, readonly Entry[]>;
  /** Writes that have changed something, with acknowledgement. */
  readonly writesAcknowledged: number;
  readonly operations: number;
  /** Operations without an answer, by what the application was told. */
  readonly failures: Readonly<Record<string, number>>;
}

export async function readHistories(folder: string): Promise<Histories> {
  const byDocument = new Map<string, Entry[]>();
  const failures: Record<string, number> = {};
  let writesAcknowledged = 0;
  let operations = 0;
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.jsonl'))) {
    const { invocations, completions } = parse(await readFile(join(folder, file), 'utf8'));
    for (const { id, document, operation, at } of invocations) {
      operations += 1;
      const completion = completions.get(id);
      const outcome = completion?.outcome;
      if (outcome !== undefined && outcome.kind !== 'answered') {
        failures[outcome.reason] = (failures[outcome.reason] ?? 0) + 1;
      }
      if (outcome?.kind === 'refused') continue;
      const entries = byDocument.get(document) ?? [];
      byDocument.set(document, entries);
      const invokedAt = Number(at);
      if (outcome?.kind === 'answered') {
        const { answer } = outcome;
        if (!changesNothing(operation, answer)) writesAcknowledged += 1;
        entries.push({ id, operation, invokedAt, completion: { at: Number(completion!.at), answer } });
      } else {
        entries.push({ id, operation, invokedAt });
      }
    }
  }
  return { byDocument, writesAcknowledged, operations, failures };
}

/** The last line of a process that was killed may be torn; such an operation has not been sent, or not been answered. */
function parse(text: string): { invocations: Invocation[]; completions: Map<string, Completion> } {
  const lines = text.split('\n').slice(0, -1);
  const parsed = lines.map((line) => JSON.parse(line) as Invocation | Completion);
  return {
    invocations: parsed.filter((line): line is Invocation => 'operation' in line),
    completions: new Map(parsed.filter((line): line is Completion => 'outcome' in line).map((line) => [line.id, line])),
  };
}
