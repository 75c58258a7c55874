import { percent, table } from '../client/commands/presentation.js';

/** A probability that was said, and whether what it was said of came. */
export type Said = readonly [probability: number, came: boolean];

export interface ReliabilityBin {
  /** In tenths: 3 is from 30 % to below 40 %. */
  readonly tenth: number;
  readonly count: number;
  /** Means, in [0, 1]. */
  readonly said: number;
  readonly came: number;
}

/** How often what was said with so much probability came. Where probabilities are calibrated, of what has about 30 % three in ten come. */
export function reliabilityOf(all: readonly Said[]): readonly ReliabilityBin[] {
  return Array.from({ length: 10 }, (_, tenth): ReliabilityBin => {
    const inBin = all.filter(([probability]) => Math.min(9, Math.floor(probability * 10)) === tenth);
    const share = (sum: number) => sum / inBin.length;
    return {
      tenth,
      count: inBin.length,
      said: share(inBin.reduce((sum, [probability]) => sum + probability, 0)),
      came: share(inBin.filter(([, came]) => came).length),
    };
  }).filter(({ count }) => count > 0);
}

/** Mean distance of said and came, weighted by how often it was said ("expected calibration error"); in [0, 1]. */
export function calibrationError(bins: readonly ReliabilityBin[]): number {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  return bins.reduce((sum, { count, said, came }) => sum + (count / total) * Math.abs(said - came), 0);
}

/** Mean squared distance of the probability from what came (Brier 1950); 0 is best, 0.25 is what always saying one half gets. */
export const brierScore = (all: readonly Said[]): number =>
  all.reduce((sum, [probability, came]) => sum + (probability - Number(came)) ** 2, 0) / all.length;

export const reliabilityTable = (bins: readonly ReliabilityBin[]): string =>
  table(
    bins,
    [
      { title: 'probability', value: ({ tenth }) => `${tenth * 10} to ${tenth * 10 + 10} %`, right: true },
      { title: 'steps', value: ({ count }) => count, right: true },
      { title: 'said', value: ({ said }) => percent(said), right: true },
      { title: 'came', value: ({ came }) => percent(came), right: true },
    ],
    '',
  );

const SIZE = 360;
const BARS = 70;
const MARGIN = { left: 56, right: 16, top: 36, bottom: 44 };

/** The reliability diagram: said against came, with the diagonal of perfect calibration, and below it how often each was said. */
export function reliabilitySvg(bins: readonly ReliabilityBin[], title: string): string {
  const width = MARGIN.left + SIZE + MARGIN.right;
  const height = MARGIN.top + SIZE + 16 + BARS + MARGIN.bottom;
  const x = (share: number) => round(MARGIN.left + share * SIZE);
  const y = (share: number) => round(MARGIN.top + (1 - share) * SIZE);
  const floor = MARGIN.top + SIZE + 16 + BARS;
  const most = Math.max(...bins.map(({ count }) => count));
  const text = (at: string, anchor: string, words: string) => `<text ${at} text-anchor="${anchor}">${words}</text>`;
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  const middle = MARGIN.top + SIZE / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text(`x="${MARGIN.left}" y="20" font-weight="bold"`, 'start', title),
    ...ticks.flatMap((tick) => [
      `<path stroke="#ddd" d="M${x(tick)} ${y(0)}V${y(1)}M${x(0)} ${y(tick)}H${x(1)}"/>`,
      text(`x="${x(0) - 6}" y="${y(tick) + 4}"`, 'end', percent(tick) ?? ''),
      text(`x="${x(tick)}" y="${floor + 16}"`, 'middle', percent(tick) ?? ''),
    ]),
    `<path stroke="#888" stroke-dasharray="6 4" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>`,
    `<polyline fill="none" stroke="#1668b0" stroke-width="2" points="${bins.map(({ said, came }) => `${x(said)},${y(came)}`).join(' ')}"/>`,
    ...bins.map(({ said, came }) => `<circle cx="${x(said)}" cy="${y(came)}" r="4" fill="#1668b0"/>`),
    ...bins.map(({ tenth, count }) => {
      const bar = round((BARS * count) / most);
      return `<rect x="${x(tenth / 10) + 2}" y="${round(floor - bar)}" width="${round(SIZE / 10 - 4)}" height="${bar}" fill="#cfe3f7"/>`;
    }),
    text(`x="${x(0) - 6}" y="${floor - BARS + 10}"`, 'end', most.toLocaleString('en-US')),
    text(`x="${x(0.5)}" y="${floor + 36}"`, 'middle', 'probability that was said (bars: in how many forecast steps)'),
    text(`x="14" y="${middle}" transform="rotate(-90 14 ${middle})"`, 'middle', 'share that came'),
    '</svg>\n',
  ].join('\n');
}

const round = (value: number): number => Math.round(value * 10) / 10;
