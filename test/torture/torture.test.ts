import { beforeAll, describe, expect, it } from 'vitest';
import type { Entry } from './linearizability.js';
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
  const kindsAfter = (tamper: (final: Entry) => readonly Entry[]) =>
    [...round.histories.values()]
      .filter((history) => history.find(isFinal)!.completion!.answer.found)
      .map((history) => {
        const tampered = [...history.filter((entry) => !isFinal(entry)), ...tamper(history.find(isFinal)!)];
        return findViolations(tampered, isFinal).violations[0]?.kind;
      });

  it('would be refused if one acknowledged increment were missing', () => {
    const kinds = kindsAfter((final) => [
      final,
      {
        id: 'missing',
        operation: { kind: 'increment' },
        invokedAt: final.invokedAt - 2,
        completion: { at: final.invokedAt - 1, answer: { found: true } },
      },
    ]);
    expect(kinds.length).toBeGreaterThan(5);
    expect(new Set(kinds)).toEqual(new Set(['lost']));
  });

  it('would be refused if one document were gone, or there with a content that nobody has written', () => {
    const withContent = (final: Entry, document: { value: string; count: number } | null): Entry => ({
      ...final,
      completion: { at: final.invokedAt, answer: { found: document !== null, document } },
    });
    const gone = kindsAfter((final) => [withContent(final, null)]);
    expect(gone).not.toContain(undefined);
    const strange = kindsAfter((final) => [withContent(final, { value: 'from nowhere', count: 1 })]);
    expect(strange).not.toContain(undefined);
  });
});
