import { describe, expect, it } from 'vitest';
import { migrationFigures } from '../../client/migration-figures.js';
import { spokenFigures } from '../../client/commands/migration-view.js';

const NOW = Date.UTC(2026, 0, 2);
const ago = (seconds: number) => new Date(NOW - seconds * 1_000);
const work = {
  phase: 'backfill',
  done: 1_200,
  inAll: 5_000,
  bytes: 1_200_000,
  bytesInAll: 5_000_000,
  perSecond: 300,
  secondsLeft: 13,
  at: ago(1),
} as const;
const behind = (lagSeconds: number, secondsLeft?: number, seconds = 1) => ({
  ...{ lagSeconds, applied: 7, at: ago(seconds) },
  ...(secondsLeft === undefined ? {} : { secondsLeft }),
});

describe('how far a migration is', () => {
  const backfill = { phase: 'backfill', weight: 0, work };

  it('is told of the work of its phase, with pace and time left', () => {
    const progress = { phase: 'backfill', weight: 0, phaseSince: NOW - 4_000 } as const;
    const figures = migrationFigures(backfill, progress, NOW);
    expect(figures).toEqual({ phaseSince: ago(4), work, secondsLeft: 13 });
    expect(spokenFigures(figures)).toEqual([
      ['now', 'backfill: 1,200 of about 5,000 documents, 1.2 MB of 5.0 MB'],
      ['pace', '300 documents/s, 300 kB/s'],
      ['behind', undefined],
      ['time left', 'about 13s'],
    ]);
  });

  it('without pace and time left where the last word is old', () => {
    const { perSecond: _, secondsLeft: __, ...halted } = { ...work, at: ago(60) };
    expect(migrationFigures({ ...backfill, work: { ...work, at: ago(60) } }, undefined, NOW)).toEqual({ work: halted });
  });

  it('is not told of work of a phase that is over', () => {
    expect(migrationFigures({ ...backfill, phase: 'cutover' }, undefined, NOW)).toEqual({});
    expect(migrationFigures(backfill, { phase: 'verify', weight: 0, phaseSince: NOW }, NOW)).toEqual({
      phaseSince: new Date(NOW),
    });
  });

  it('counts indexes, which have no documents', () => {
    const figures = migrationFigures(
      { ...backfill, work: { phase: 'indexes', done: 30, inAll: 120, at: ago(0) } },
      undefined,
      NOW,
    );
    expect(spokenFigures(figures)[0]).toEqual(['now', 'indexes: 25 %']);
    expect(figures.secondsLeft).toBeUndefined();
  });

  it('of catching up is how far it is behind, and for how long yet', () => {
    const replication = { forward: behind(40, 9), back: behind(0, 0) };
    const figures = migrationFigures({ phase: 'replicate', weight: 0, replication }, undefined, NOW);
    expect(figures).toEqual({ lagSeconds: 40, secondsLeft: 9 });
    expect(migrationFigures({ phase: 'soak', weight: 100, replication }, undefined, NOW)).toEqual({ lagSeconds: 0 });
    const old = { forward: behind(40, 9, 60) };
    expect(migrationFigures({ phase: 'replicate', weight: 0, replication: old }, undefined, NOW)).toEqual({});
  });

  it('of a soak is the time until it is over, and never less than none', () => {
    const soak = { phase: 'soak', weight: 100, phaseSince: NOW - 1_000 } as const;
    const record = { phase: 'soak', weight: 100 };
    expect(migrationFigures(record, { ...soak, until: NOW + 59_500 }, NOW).secondsLeft).toBe(60);
    expect(migrationFigures(record, { ...soak, until: NOW - 5 }, NOW).secondsLeft).toBe(0);
  });
});
