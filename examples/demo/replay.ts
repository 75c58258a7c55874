import { messageOf } from '../../domain/errors.js';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { Ledger } from '../ledger.js';
import type { Flight } from './flights.js';

interface StoredFlight {
  _id: string;
  carrier: string;
  seq: number;
  departures?: number;
}

/** A write as the application felt it: from when it was meant to be sent until it was acknowledged. */
export interface WriteSample {
  readonly carrier: string;
  /** Wall-clock time of the intended send, milliseconds since 1970. */
  readonly intendedAt: number;
  readonly waitedMs: number;
}

export interface ReplayOptions {
  readonly keyspace: string;
  /** One application per region. */
  readonly clients: ReadonlyMap<string, DroverClient>;
  readonly regionOfNode: ReadonlyMap<string, string>;
  /** Drover's time now, milliseconds. */
  readonly now: () => number;
  /** Drover's milliseconds per real one. */
  readonly rate: number;
  readonly onProgress: (progress: { accesses: number; time: number; localShare: number }) => void;
}

/** Writers of one document follow each other; different documents go at the same time. */
const LANES = 64;
const PROGRESS_MS = 5_000;

/**
 * Replays real accesses at their own (compressed) times: each reads a flight of the carrier and writes one, through the
 * application of its region. The load is open: it does not slow down when the servers do.
 */
export class Replay {
  readonly ledger = new Ledger();
  readonly samples: WriteSample[] = [];
  readonly failures: string[] = [];
  /** Per access, in order: whether the owner of its key was in its own region. */
  readonly local: boolean[] = [];
  private readonly lanes: Promise<void>[] = Array.from({ length: LANES }, () => Promise.resolve());
  private readonly reads = new Set<Promise<void>>();
  private readonly collections: ReadonlyMap<string, DroverCollection<StoredFlight>>;
  private sequence = 0;

  constructor(private readonly options: ReplayOptions) {
    const [database, ...collection] = options.keyspace.split('.');
    this.collections = new Map(
      [...options.clients].map(([region, client]) => [
        region,
        client.db(database!).collection<StoredFlight>(collection.join('.')),
      ]),
    );
  }

  /** Loads flights that were there before, acknowledged one by one in the ledger. */
  async load(loader: DroverClient, flights: readonly Flight[], batch = 1_000): Promise<void> {
    const [database, ...name] = this.options.keyspace.split('.');
    const collection = loader.db(database!).collection<StoredFlight>(name.join('.'));
    for (let i = 0; i < flights.length; i += batch) {
      const documents = flights.slice(i, i + batch).map(({ document }) => ({ ...document, seq: 0 }));
      await collection.insertMany(documents, { ordered: false });
      for (const { _id, carrier } of documents) await this.ledger.write(_id, carrier, { seq: 0 }, async () => {});
    }
  }

  async run(flights: readonly Flight[], known: readonly Flight[]): Promise<void> {
    const byCarrier = new Map<string, Flight[]>();
    for (const flight of known) {
      const flights = byCarrier.get(flight.carrier);
      if (flights === undefined) byCarrier.set(flight.carrier, [flight]);
      else flights.push(flight);
    }
    const random = seeded(20130301);
    const startedAt = this.options.now();
    let reportedAt = performance.now();
    for (const flight of flights) {
      if (flight.time < startedAt) continue;
      const early = (flight.time - this.options.now()) / this.options.rate;
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
      await this.access(flight, byCarrier.get(flight.carrier) ?? [], random());
      if (performance.now() - reportedAt > PROGRESS_MS) {
        reportedAt = performance.now();
        const recent = this.local.slice(-2_000);
        this.options.onProgress({
          accesses: this.local.length,
          time: flight.time,
          localShare: recent.filter(Boolean).length / recent.length,
        });
      }
    }
    await Promise.all([...this.lanes, ...this.reads]);
  }

  private async access(flight: Flight, known: readonly Flight[], choice: number): Promise<void> {
    const { origin, carrier, document } = flight;
    const client = this.options.clients.get(origin)!;
    const owner = await client.ownerOf(this.options.keyspace, carrier);
    this.local.push(this.options.regionOfNode.get(owner) === origin);

    const other = known[Math.floor(choice * known.length)]?.document._id;
    if (other !== undefined) this.read(origin, carrier, other);
    // Half of the writes add the flight, the others change or delete and add again one that is there.
    if (choice < 0.5 || other === undefined) this.write(document._id, flight, 'insert');
    else if (choice < 0.9) this.write(other, flight, 'update');
    else this.write(other, flight, 'deleteAndInsert');
  }

  private read(region: string, carrier: string, _id: string): void {
    const reading = this.collections
      .get(region)!
      .findOne({ _id, carrier })
      .then(
        () => undefined,
        (error: unknown) => this.failed(error),
      )
      .finally(() => this.reads.delete(reading));
    this.reads.add(reading);
  }

  private write(
    _id: string,
    { origin, carrier, document }: Flight,
    kind: 'insert' | 'update' | 'deleteAndInsert',
  ): void {
    const lane = hash(_id) % LANES;
    const intendedAt = Date.now();
    const collection = this.collections.get(origin)!;
    const timed = async (next: { seq: number } | null, request: () => Promise<unknown>) => {
      const error = await this.ledger.write(_id, carrier, next, request);
      this.samples.push({ carrier, intendedAt, waitedMs: Date.now() - intendedAt });
      if (error !== undefined) this.failed(error);
    };
    const filter = { _id, carrier };
    this.lanes[lane] = this.lanes[lane]!.then(async () => {
      const seq = ++this.sequence;
      const stored = { ...document, _id, seq };
      if (kind === 'insert') return timed({ seq }, () => collection.insertOne(stored));
      if (kind === 'update') {
        return timed({ seq }, () =>
          expectOne(collection.updateOne(filter, { $set: { seq }, $inc: { departures: 1 } }), 'matchedCount'),
        );
      }
      await timed(null, () => expectOne(collection.deleteOne(filter), 'deletedCount'));
      return timed({ seq }, () => collection.insertOne(stored));
    });
  }

  private failed(error: unknown): void {
    this.failures.push(messageOf(error));
  }
}

/** An update or delete that finds nothing has lost a write before: it counts as failed. */
async function expectOne<K extends string>(request: Promise<Record<K, number>>, count: K): Promise<void> {
  const result = await request;
  if (result[count] !== 1) throw new Error(`${count} is ${result[count]}, expected 1`);
}

function hash(text: string): number {
  let value = 0;
  for (let i = 0; i < text.length; i++) value = (Math.imul(value, 31) + text.charCodeAt(i)) >>> 0;
  return value;
}

/** A linear congruential generator: the replay chooses the same documents in every run. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}
