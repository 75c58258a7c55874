import { FrequentItems } from '../domain/frequent-items.js';
import type { QueryShape, ShapedRequest } from '../domain/query-shape.js';
import { shapeOf, shapeText } from '../domain/query-shape.js';
import type { ShapeRecord } from '../domain/shape-record.js';
import { latencyBin } from '../store/latency-sketch.js';
import { RecordQueue } from './record-queue.js';
import { LONGEST_KEY, shapeKey } from './shape-key.js';

/** Requests of an interval that are all looked at; of the later ones one in {@link ONE_IN} on average. */
const ALL_OF = 256;
const ONE_IN = 16;
/** Shapes by partition and region; of more different ones the frequent ones are kept. */
const COUNTED = 512;
/** That are written of one interval. */
const WRITTEN = 256;
/** Keys whose shapes are remembered. */
const REMEMBERED = 2_048;

export interface ShapeRecorderOptions {
  readonly flushMs: number;
  /** Drover's time, milliseconds. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Without it nothing is looked at. */
  readonly write?: ((records: ShapeRecord[]) => Promise<void>) | undefined;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/** Where a request went, found out only for those that are looked at. */
export interface ShapePlace {
  readonly keyspace: string;
  readonly region: string;
  readonly partition?: string | undefined;
}

interface NamedShape {
  readonly text: string;
  readonly shape: QueryShape;
}

interface Counted {
  readonly place: ShapePlace;
  readonly shape: QueryShape;
  requests: number;
  errors: number;
  latencySum: number;
  latencyMax: number;
  readonly bins: Map<number, number>;
}

/**
 * Counts requests by their shape, partition and region, in bounded memory. So that a request does not feel it, busy routers look at a
 * random part of their requests; nothing here fails or delays one.
 */
export class ShapeRecorder {
  private frequent = new FrequentItems<Counted>(COUNTED);
  private counted = new Map<string, Counted>();
  private readonly shapes = new Map<string, NamedShape>();
  private readonly queue: RecordQueue<ShapeRecord>;
  private readonly timer: NodeJS.Timeout;
  private since: number;
  /** Requests that are still all looked at, then those until the next one that is. */
  private allLeft = ALL_OF;
  private skip = 0;

  constructor(private readonly options: ShapeRecorderOptions) {
    const { write = () => Promise.resolve(), onProblem, flushMs, now } = options;
    this.queue = new RecordQueue({ what: 'query shapes', write, onProblem });
    this.since = now();
    this.timer = setInterval(() => void this.flush(), flushMs);
    this.timer.unref();
  }

  /** Whether anything is counted. */
  get isOn(): boolean {
    return this.options.write !== undefined;
  }

  /** For how many requests the next one stands; 0 when it is not looked at. */
  next(): number {
    if (!this.isOn) return 0;
    if (this.allLeft > 0) {
      this.allLeft -= 1;
      return 1;
    }
    if (this.skip > 0) {
      this.skip -= 1;
      return 0;
    }
    // At random distances: requests that come in turn, such as a read before each write, must all be met.
    this.skip = Math.floor(this.options.random() * (2 * ONE_IN - 1));
    return ONE_IN;
  }

  /**
   * @param weight of {@link next}
   * @param latencyMs undefined where it is not known of the request by itself
   */
  count(
    place: ShapePlace,
    request: ShapedRequest,
    weight: number,
    latencyMs: number | undefined,
    failed: boolean,
  ): void {
    const { text, shape } = this.shapeOf(request);
    const name = `${place.keyspace}/${place.partition ?? ''} ${place.region} ${text}`;
    let counted = this.counted.get(name);
    if (counted === undefined) {
      counted = { place, shape, requests: 0, errors: 0, latencySum: 0, latencyMax: 0, bins: new Map() };
      this.counted.set(name, counted);
    }
    this.frequent.add(counted, weight);
    if (this.counted.size > 3 * COUNTED) this.forgetRare();
    counted.requests += weight;
    if (failed) counted.errors += weight;
    if (latencyMs === undefined) return;
    counted.latencySum += weight * latencyMs;
    if (latencyMs > counted.latencyMax) counted.latencyMax = latencyMs;
    const bin = latencyBin(latencyMs);
    counted.bins.set(bin, (counted.bins.get(bin) ?? 0) + weight);
  }

  flush(): Promise<void> {
    const time = this.since;
    this.since = this.options.now();
    for (const [{ place, shape, requests, errors, latencySum, latencyMax, bins }] of this.frequent.top(WRITTEN)) {
      const { keyspace, region, partition } = place;
      const latencyMs = { sum: latencySum, max: latencyMax, bins: [...bins] };
      const where = { keyspace, region, ...(partition === undefined ? {} : { partition }) };
      this.queue.add({ ...where, time, shape, requests, errors, latencyMs });
    }
    if (this.counted.size > 0) {
      this.frequent = new FrequentItems(COUNTED);
      this.counted = new Map();
    }
    this.allLeft = ALL_OF;
    this.skip = 0;
    return this.queue.flush();
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.queue.idle();
    await this.flush();
  }

  private shapeOf(request: ShapedRequest): NamedShape {
    const key = shapeKey(request);
    const known = this.shapes.get(key);
    if (known !== undefined) return known;
    const shape = shapeOf(request);
    const named = { text: shapeText(shape), shape };
    if (key.length > LONGEST_KEY) return named;
    if (this.shapes.size === REMEMBERED) this.shapes.clear();
    this.shapes.set(key, named);
    return named;
  }

  /** Those that the sketch has dropped. What one of them had counted is lost, as it is there. */
  private forgetRare(): void {
    const kept = new Set(this.frequent.top(2 * COUNTED).map(([counted]) => counted));
    for (const [name, counted] of this.counted) if (!kept.has(counted)) this.counted.delete(name);
  }
}
