import type { AccessRecord } from '../domain/access.js';
import { MAX_TOKENS_PER_RECORD } from '../domain/access.js';
import type { Token } from '../domain/token.js';

/** Beyond so many tokens of one partition within one flush interval, further ones are in the totals only. */
const MAX_TOKENS_COUNTED = 1_024;

interface Counters {
  readonly partition: string;
  readonly node: string;
  reads: number;
  writes: number;
  errors: number;
  latencySum: number;
  latencyMax: number;
  readonly tokens: Map<Token, number>;
}

export interface AccessRecorderOptions {
  readonly region: string;
  readonly network?: string;
  readonly flushMs: number;
  /** Drover's time, milliseconds. */
  readonly now: () => number;
  readonly write: (records: AccessRecord[]) => Promise<void>;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/**
 * Counts requests per partition and writes the counts in the background. What is lost when the process dies is one flush
 * interval; a catalog that can't be reached costs the records of that time and nothing else.
 */
export class AccessRecorder {
  private counters = new Map<string, Map<string, Counters>>();
  private readonly timer: NodeJS.Timeout;
  private flushing: Promise<void> = Promise.resolve();
  private busy = false;
  private since: number;

  constructor(private readonly options: AccessRecorderOptions) {
    this.since = options.now();
    this.timer = setInterval(() => void this.flush(), options.flushMs);
    this.timer.unref();
  }

  /**
   * @param node that owned the token when the request was over
   * @param token of the key, if the request was for one
   * @param latencyMs from the call to its acknowledgement, waiting included
   */
  count(
    keyspace: string,
    partition: string,
    node: string,
    token: Token | undefined,
    kind: 'reads' | 'writes',
    latencyMs: number,
    failed: boolean,
  ): void {
    let partitions = this.counters.get(keyspace);
    if (partitions === undefined) this.counters.set(keyspace, (partitions = new Map()));
    const place = `${partition} ${node}`;
    let counters = partitions.get(place);
    if (counters === undefined) {
      counters = { partition, node, reads: 0, writes: 0, errors: 0, latencySum: 0, latencyMax: 0, tokens: new Map() };
      partitions.set(place, counters);
    }
    counters[kind] += 1;
    if (failed) counters.errors += 1;
    counters.latencySum += latencyMs;
    if (latencyMs > counters.latencyMax) counters.latencyMax = latencyMs;
    if (token === undefined) return;
    const seen = counters.tokens.get(token);
    if (seen !== undefined) counters.tokens.set(token, seen + 1);
    else if (counters.tokens.size < MAX_TOKENS_COUNTED) counters.tokens.set(token, 1);
  }

  /** While an earlier flush is still under way, counts go on adding up for the next one. */
  async flush(): Promise<void> {
    if (this.busy || this.counters.size === 0) return;
    const counted = this.counters;
    this.counters = new Map();
    this.busy = true;
    this.flushing = this.options
      .write(this.records(counted))
      .catch((error: unknown) => this.options.onProblem('writing access records', error))
      .finally(() => (this.busy = false));
    await this.flushing;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.flushing;
    await this.flush();
  }

  private records(counted: Map<string, Map<string, Counters>>): AccessRecord[] {
    const { region, network } = this.options;
    const time = this.since;
    this.since = this.options.now();
    const records: AccessRecord[] = [];
    for (const [keyspace, partitions] of counted) {
      for (const { partition, node, reads, writes, errors, latencySum, latencyMax, tokens } of partitions.values()) {
        const busiest = [...tokens].sort((a, b) => b[1] - a[1]).slice(0, MAX_TOKENS_PER_RECORD);
        records.push({
          keyspace,
          partition,
          node,
          region,
          time,
          reads,
          writes,
          errors,
          latencyMs: { sum: latencySum, max: latencyMax },
          clients: network === undefined ? [] : [[network, reads + writes]],
          tokens: busiest,
        });
      }
    }
    return records;
  }
}
