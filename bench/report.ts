import { table } from '../client/commands/presentation.js';
import type { Comparison } from './bench.js';
import type { Spread } from './statistics.js';

const figure = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(value < 100 ? 1 : 0));
const figures = ({ min, median, max }: Spread): string => [min, median, max].map(figure).join(' / ');

/** For people: each cell is minimum / median / maximum over the rounds. */
export const comparisonTable = (results: readonly Comparison[]): string =>
  table(
    results,
    [
      { title: 'case', value: (row) => row.case },
      { title: 'against', value: (row) => row.against },
      { title: 'unit', value: (row) => row.unit },
      { title: 'drover', value: (row) => figures(row.drover), right: true },
      { title: 'baseline', value: (row) => figures(row.baseline), right: true },
      { title: 'times better', value: (row) => figures(row.ratio), right: true },
    ],
    'nothing was measured',
  );

/** For machines: one line. */
export const toJson = (bench: string, results: readonly Comparison[]): string =>
  JSON.stringify({ bench, results }, (_, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  );
