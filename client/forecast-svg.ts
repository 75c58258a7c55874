import type { ShownSeries } from './shown-forecast.js';
import { shownHistory } from './shown-forecast.js';

const WIDTH = 900;
const HEIGHT = 260;
const MARGIN = { left: 60, right: 16, top: 28, bottom: 28 };

/** History, forecast, its band, threshold and crossing of each region, below one another. */
export function forecastSvg(forecasts: readonly ShownSeries[]): string {
  const height = HEIGHT * Math.max(1, forecasts.length);
  const panels = forecasts.map((forecast, i) => `<g transform="translate(0 ${i * HEIGHT})">${panel(forecast)}</g>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    ...panels,
    '</svg>\n',
  ].join('\n');
}

function panel({ title, madeAt, windowMs, mean, lower, upper, level, threshold, crossing, ...rest }: ShownSeries) {
  const history = shownHistory(rest.history);
  const steps = history.length + mean.length;
  const top = Math.max(1, ...history, ...upper, threshold ?? 0);
  const x = (step: number) =>
    round(MARGIN.left + (step * (WIDTH - MARGIN.left - MARGIN.right)) / Math.max(1, steps - 1));
  const y = (value: number) => round(HEIGHT - MARGIN.bottom - (value * (HEIGHT - MARGIN.top - MARGIN.bottom)) / top);
  const points = (values: readonly number[], from: number) => values.map((v, i) => `${x(from + i)},${y(v)}`).join(' ');
  const line = (values: readonly number[], from: number, style: string) =>
    `<polyline fill="none" ${style} points="${points(values, from)}"/>`;
  const text = (at: number, height: number, anchor: string, words: string) =>
    `<text x="${at}" y="${height}" text-anchor="${anchor}">${escaped(words)}</text>`;
  const now = history.length;
  const band = `${points(upper, now)} ${points(lower, now).split(' ').reverse().join(' ')}`;
  const first = crossing?.firstStep;
  return [
    text(MARGIN.left, 18, 'start', `${title}, per ${windowMs / 1000} s; interval of ${Math.round(level * 100)} %`),
    `<polygon fill="#cfe3f7" points="${band}"/>`,
    line(history, 0, 'stroke="#444"'),
    line(mean, now, 'stroke="#1668b0" stroke-width="2"'),
    ...(threshold === undefined
      ? []
      : [`<path stroke="#c0392b" stroke-dasharray="6 4" d="M${x(0)} ${y(threshold)}H${x(steps - 1)}"/>`]),
    ...(first === undefined ? [] : [`<circle cx="${x(now + first)}" cy="${y(mean[first]!)}" r="5" fill="#c0392b"/>`]),
    text(MARGIN.left - 6, y(top) + 4, 'end', String(Math.round(top))),
    text(MARGIN.left - 6, y(0) + 4, 'end', '0'),
    text(x(now), HEIGHT - 8, 'middle', `${madeAt.toISOString().slice(0, 16)}Z`),
  ].join('\n');
}

const round = (value: number): number => Math.round(value * 10) / 10;

const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => `&#${character.codePointAt(0)};`);
