import { countsOfTotals } from './counter.js';

/** What a node said of itself in one probe. Totals are counters of its server process since that started; what it can't tell is absent. */
export interface NodeReading {
  /** Drover's time, milliseconds. */
  readonly time: number;
  /** The server process: after an election another one answers. */
  readonly host: string;
  readonly uptimeMs: number;
  readonly operations: number;
  /** Processor time, of all cores together. */
  readonly cpuMs?: number;
  /** Time that reads and writes took, and how many there were. */
  readonly latencyUs?: number;
  readonly timed?: number;
  readonly connections?: number;
  readonly queued?: number;
}

interface Measure {
  /** For people: `<what> of node <name>`. */
  readonly title: string;
  readonly of: (reading: NodeReading) => number | undefined;
  /** What is counted divided by what else is; without it, a figure of the moment. */
  readonly per?: (reading: NodeReading) => number | undefined;
  readonly factor?: number;
}

const uptime = ({ uptimeMs }: NodeReading): number => uptimeMs;

/** What is known of a node over time. */
export const NODE_MEASURES = {
  operations: { title: 'Operations per second', of: ({ operations }) => operations, per: uptime, factor: 1000 },
  cpu: { title: 'Busy processor cores', of: ({ cpuMs }) => cpuMs, per: uptime },
  latency: {
    title: 'Milliseconds per operation',
    of: ({ latencyUs }) => latencyUs,
    per: ({ timed }) => timed,
    factor: 1e-3,
  },
  connections: { title: 'Connections', of: ({ connections }) => connections },
  queued: { title: 'Waiting operations', of: ({ queued }) => queued },
} as const satisfies Readonly<Record<string, Measure>>;

export type NodeMeasure = keyof typeof NODE_MEASURES;

export interface NodeSeriesOptions {
  /** Steps `[start, end)`, milliseconds on the grid of `stepMs`. */
  readonly start: number;
  readonly end: number;
  readonly stepMs: number;
}

/**
 * One value a step, `NaN` where nothing is known. Rates are of the time between the last reading of a step and that of the step before;
 * over a restart of the server, of the time since then.
 */
export function nodeSeries(
  readings: readonly NodeReading[],
  measure: NodeMeasure,
  { start, end, stepMs }: NodeSeriesOptions,
): Float64Array {
  const { of, per, factor = 1 }: Measure = NODE_MEASURES[measure];
  // One more, so that the first step has one before it.
  const last = new Array<NodeReading | undefined>(Math.max(0, (end - start) / stepMs) + 1).fill(undefined);
  for (const reading of readings) {
    const step = Math.floor((reading.time - start) / stepMs) + 1;
    const before = last[step];
    if (step >= 0 && step < last.length && (before === undefined || before.time < reading.time)) last[step] = reading;
  }
  const known = (figure: Measure['of']) => last.map((each) => (each === undefined ? NaN : (figure(each) ?? NaN)));
  if (per === undefined) return Float64Array.from(known(of).slice(1));
  const counts = countsOfTotals(known(of));
  const times = countsOfTotals(known(per));
  return Float64Array.from(counts, (count, step) => {
    const same = last[step]?.host === last[step + 1]?.host;
    return same && times[step]! > 0 ? (factor * count) / times[step]! : NaN;
  });
}
