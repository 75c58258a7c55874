import asciichart from 'asciichart';
import type { ShownSeries } from '../shown-forecast.js';
import { shownHistory } from '../shown-forecast.js';
import { count } from './presentation.js';

const HEIGHT = 10;
const COLUMNS = 90;

/** History, forecast, its band and the threshold, as lines of text. In the past, all but the threshold are one line. */
export function forecastPlot({ history, mean, lower, upper, threshold }: ShownSeries): string {
  const before = shownHistory(history).slice(-Math.max(0, COLUMNS - mean.length));
  const lines = [lower, upper, mean].map((part) => [...before, ...part]);
  const steps = lines[0]!.length;
  if (steps === 0) return '';
  const bounds = threshold === undefined ? [] : [new Array<number>(steps).fill(threshold)];
  const labels = [...lines, ...bounds].flat().map((value) => count(value)!.length);
  const width = Math.max(...labels);
  return asciichart.plot([...bounds, ...lines], {
    height: HEIGHT,
    offset: width + 2,
    format: (value) => count(value)!.padStart(width),
  });
}
