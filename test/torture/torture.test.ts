import { beforeAll, describe, expect, it } from 'vitest';
import type { Entry } from './linearizability.js';
import { check } from './linearizability.js';
import type { State } from './model.js';
import type { RoundResult } from './round.js';
import { FINAL_READ, runRound } from './round.js';
import { findViolations } from './violations.js';

/** A short round of the torture, with a fixed seed; `npm run torture` goes on for as long as one likes. */
describe('a round of faults under load', () => {
  let round: RoundResult;

  beforeAll(async () => {
    const said: string[] = [];
    round = await runRound({
      seed: 42,
      faultsMs: 25_000,
      threeMembers: [],
      kinds: ['killWorker', 'killRouter', 'pauseRouter', 'cut'],
      log: (line) => said.push(line),
    });
    if (round.findings.length > 0) console.log(said.join('\n'));
  });

  it('loses nothing, brings nothing back, does nothing twice, and leaves nothing half-done', () => {
    expect(round.findings.map(({ text }) => text)).toEqual([]);
    expect(round.undecided).toBe(0);
  });

  it('has had faults and migrations, and a load that says something', () => {
    expect(round.faults.total).toBeGreaterThan(3);
    expect(round.migrations['completed']).toBeGreaterThan(0);
    expect(round.writesAcknowledged).toBeGreaterThan(1_000);
  });

  const isFinal = ({ id }: Entry) => id === FINAL_READ;
  const tampered = (tamper: (final: Entry) => readonly Entry[]) =>
    [...round.histories.values()]
      .filter((history) => history.find(isFinal)!.completion!.answer.found)
      .map((history) => [...history.filter((entry) => !isFinal(entry)), ...tamper(history.find(isFinal)!)]);
  const withContent = (final: Entry, document: State): Entry => ({
    ...final,
    completion: { at: final.invokedAt, answer: { found: document !== null, document } },
  });

  it('would be refused if one acknowledged increment were missing', () => {
    const histories = tampered((final) => [
      final,
      {
        id: 'missing',
        operation: { kind: 'increment' },
        invokedAt: final.invokedAt - 2,
        completion: { at: final.invokedAt - 1, answer: { found: true } },
      },
    ]);
    // What a killed application had under way could have come in between, and explain it.
    const known = histories.filter((history) => history.every(({ completion }) => completion !== undefined));
    expect(known.length).toBeGreaterThanOrEqual(5);
    const kinds = known.slice(0, 5).map((history) => findViolations(history, isFinal).violations[0]?.kind);
    expect(new Set(kinds)).toEqual(new Set(['lost']));
  });

  it('would be refused if one document were gone, or there with a content that nobody has written', () => {
    const verdicts = (document: State) =>
      tampered((final) => [withContent(final, document)]).map((history) => check(history).kind);
    expect(new Set(verdicts({ value: 'from nowhere', count: 1 }))).toEqual(new Set(['violated']));
    // Here and there a delete that a killed application had under way explains it.
    const gone = verdicts(null);
    expect(gone.filter((kind) => kind === 'violated').length).toBeGreaterThan(gone.length / 2);
  });
});
