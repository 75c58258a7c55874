import { describe, expect, it } from 'vitest';
import type { Said } from '../../bench/reliability.js';
import { brierScore, calibrationError, reliabilityOf, reliabilitySvg } from '../../bench/reliability.js';

/** Of a hundred times that were said to be so likely, so many came. */
const said = (probability: number, came: number): Said[] =>
  Array.from({ length: 100 }, (_, i) => [probability, i < came] as const);

describe('the reliability of probabilities', () => {
  it('is perfect where as much comes as was said', () => {
    const all = [...said(0.25, 25), ...said(1, 100), ...said(0, 0)];
    expect(reliabilityOf(all)).toEqual([
      { tenth: 0, count: 100, said: 0, came: 0 },
      { tenth: 2, count: 100, said: 0.25, came: 0.25 },
      { tenth: 9, count: 100, said: 1, came: 1 },
    ]);
    expect(calibrationError(reliabilityOf(all))).toBe(0);
    expect(brierScore(said(0.5, 50))).toBe(0.25);
  });

  it('is worse the further off, and the more often', () => {
    expect(calibrationError(reliabilityOf([...said(0.25, 35), ...said(0.75, 75)]))).toBeCloseTo(0.05, 12);
    expect(brierScore([...said(1, 0), ...said(0, 0)])).toBe(0.5);
  });

  it('is drawn with a point and a bar for each tenth', () => {
    const svg = reliabilitySvg(reliabilityOf([...said(0.25, 35), ...said(0.75, 75)]), 'test');
    expect(svg.match(/<circle /g)).toHaveLength(2);
    expect(svg).toContain('<circle cx="146" cy="270" r="4"');
  });
});
