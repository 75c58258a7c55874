import { userOf } from '../domain/entity-sessions.js';
import { equalIntervals } from '../domain/hash-ring.js';
import type { ShapedRequest } from '../domain/query-shape.js';
import type { Partition } from '../domain/partition.js';
import { AccessRecorder } from '../router/access-recorder.js';
import { EntityRecorder } from '../router/entity-recorder.js';
import { RouteTable } from '../router/route-table.js';
import { ShapeRecorder } from '../router/shape-recorder.js';
import { partitionFromBson, partitionToBson } from '../store/codec.js';
import { tokenOfKey } from '../store/key-token.js';
import { BSON, ObjectId } from 'mongodb';
import { random } from '../examples/random.js';
import { answering } from './answering.js';
import type { Spread } from './statistics.js';
import { spread } from './statistics.js';

/** What the router's own data structures cost, without a server. To be started with `--expose-gc`. */
export interface RoutesMeasured {
  readonly kind: 'measured';
  /** Microseconds. */
  readonly lookUp: Spread;
  /** Megabytes of all routes. */
  readonly memory: number;
  /** Milliseconds. */
  readonly change: Spread;
  readonly split: Spread;
  /** Microseconds of a request's access record, its bytes included, with its part in writing records (but not in sending them). */
  readonly record: Spread;
  /** The same of counting it by its shape: in an interval with few requests, and in a busy one. */
  readonly shape: Spread;
  readonly busyShape: Spread;
  /** The same of finding out which entities are used together, by the number of users: undefined is nobody that is known. */
  readonly entity: readonly { readonly users: number; readonly micros: Spread }[];
}
export interface MeasureRoutes {
  readonly kind: 'measure';
  readonly partitions: number;
}

const KEYSPACE = 'shop.orders';
const ROUNDS = 7;
const LOOK_UPS = 200_000;
const KEYS = 4_096;
const IN_USE = 32;
const PER_FLUSH = 5_000;
/** All of them are looked at; a router's usual load in a quarter of a minute. */
const FEW_PER_FLUSH = 250;
const MANY_PER_FLUSH = 50_000;
/** At once; all of a hundred are looked at. */
const USERS = [0, 100, 10_000];
/** Of a user in a minute, for four entities. */
const REQUESTS_PER_USER = 10;

/** A document as requests read it: some 300 bytes in 15 fields. */
const READ = {
  _id: new ObjectId(),
  ...{ customerId: 'customer-4711', total: 129.95, currency: 'EUR', at: new Date(), state: 'shipped', seq: 7 },
  address: { street: 'Long Street 12', city: 'Hamburg', zip: '20095' },
  items: [
    { sku: 'A-1001', count: 2, price: 49.95 },
    { sku: 'B-2002', count: 1, price: 30.05 },
  ],
};

const stored = (count: number): Uint8Array[] =>
  equalIntervals(count).map((box, i) => BSON.serialize(partitionToBson(entry(i, box))));

const entry = (i: number, box: Partition['box'][0]): Partition => ({
  id: `${KEYSPACE}/p${i}`,
  keyspace: KEYSPACE,
  name: `p${i}`,
  box: [box],
  collection: `orders.p${i}`,
  epoch: 1,
  route: { source: i % 2 === 0 ? 'us-1' : 'eu-1', target: null, boundary: box.low, fence: null },
  attempt: 0,
  gates: [],
  handover: null,
  lastMovedAt: null,
});

/** As a router reads them. In a function of its own: what it reads them from is gone when it has returned. */
function loaded(documents: readonly Uint8Array[]): RouteTable {
  const table = new RouteTable();
  table.load(documents.map((document) => partitionFromBson(BSON.deserialize(document))));
  return table;
}

const used = (): number => {
  for (let n = 0; n < 2; n++) globalThis.gc!();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1_000_000;
};

/** Milliseconds of CPU, so that others on the machine don't count. */
function cpu(work: () => void): number {
  const begun = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1_000;
}

async function measure(partitions: number): Promise<RoutesMeasured> {
  const documents = stored(partitions);
  const tokens = Array.from({ length: KEYS }, (_, i) => tokenOfKey(`customer-${i}`));
  const before = used();
  const table = loaded(documents);
  const memory = used() - before;

  const lookUp = spread(
    Array.from({ length: ROUNDS }, () => {
      const look = () => {
        for (let i = 0; i < LOOK_UPS; i++) table.find(KEYSPACE, tokens[i % KEYS]!);
      };
      return (1_000 * cpu(look)) / LOOK_UPS;
    }),
  );
  const at = (i: number) => table.route(`${KEYSPACE}/p${(i * 7_919) % partitions}`)!.partition;
  const changed = Array.from({ length: 200 }, (_, i) => ({ ...at(i), epoch: 2 }));
  const change = spread(changed.map((partition) => cpu(() => table.load([partition]))));
  const halves = Array.from({ length: 100 }, (_, i) => {
    const partition = at(1_000 + i);
    const [{ low, high }] = partition.box;
    const middle = (low + high) / 2n;
    const other = entry(partitions + i, { low: middle, high });
    return [{ ...partition, box: [{ low, high: middle }] as Partition['box'], epoch: 3 }, other];
  });
  const split = spread(halves.map((both) => cpu(() => table.load(both))));
  const record = await measureRecords(tokens);
  const [shape, busyShape] = [await measureShapes(FEW_PER_FLUSH), await measureShapes(MANY_PER_FLUSH)];
  const entity = [];
  for (const users of USERS) entity.push({ users, micros: await measureEntities(users, tokens) });
  return { kind: 'measured', lookUp, memory, change, split, record, shape, busyShape, entity };
}

async function measureRecords(tokens: readonly bigint[]): Promise<Spread> {
  const origin = { region: 'us-east', network: '10.1.2.0/24' };
  const recorder = new AccessRecorder({
    flushMs: 3_600_000,
    now: Date.now,
    random: random(7),
    write: () => Promise.resolve(),
    onProblem: (problem, error) => {
      throw new Error(problem, { cause: error });
    },
  });
  const names = Array.from({ length: IN_USE }, (_, i) => `p${i}`);
  const micros: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let ms = 0;
    for (let flush = 0; flush < 20; flush++) {
      ms += cpu(() => {
        for (let i = 0; i < PER_FLUSH; i++) {
          const name = names[i % IN_USE]!;
          recorder.count(origin, KEYSPACE, name, 'us-1', tokens[(i * 31) % KEYS], 'reads', 0.2 + (i % 97) / 50, false);
          const bytes = recorder.bytesOf(READ);
          if (bytes === 0) continue;
          recorder.addBytes({ origin, keyspace: KEYSPACE, partition: name, node: 'us-1' }, 'read', bytes);
        }
        void recorder.flush();
      });
      await recorder.flush();
    }
    micros.push((1_000 * ms) / (20 * PER_FLUSH));
  }
  await recorder.close();
  return spread(micros);
}

async function measureShapes(perFlush: number): Promise<Spread> {
  const shapes = new ShapeRecorder({
    flushMs: 3_600_000,
    now: Date.now,
    random: random(7),
    write: () => Promise.resolve(),
    onProblem: (problem, error) => {
      throw new Error(problem, { cause: error });
    },
  });
  const requests: readonly ((i: number) => ShapedRequest)[] = [
    (i) => ({ operation: 'find', filter: { _id: i, customerId: `c${i}` } }),
    (i) => ({ operation: 'update', filter: { _id: i, customerId: `c${i}` }, update: { $inc: { seq: 1 } } }),
    (i) => ({ operation: 'find', filter: { customerId: `c${i}`, total: { $gt: i } }, sort: { at: -1 } }),
  ];
  const micros: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let ms = 0;
    const flushes = MANY_PER_FLUSH / perFlush;
    for (let flush = 0; flush < flushes; flush++) {
      ms += cpu(() => {
        for (let i = 0; i < perFlush; i++) {
          const request = requests[i % requests.length]!(i);
          const weight = shapes.next();
          const place = { keyspace: KEYSPACE, region: 'us-east', partition: `p${i % IN_USE}` };
          if (weight > 0) shapes.count(place, request, weight, 0.2 + (i % 97) / 50, false);
        }
        void shapes.flush();
      });
      await shapes.flush();
    }
    micros.push((1_000 * ms) / (flushes * perFlush));
  }
  await shapes.close();
  return spread(micros);
}

async function measureEntities(users: number, tokens: readonly bigint[]): Promise<Spread> {
  let now = Date.now();
  const entities = new EntityRecorder({
    flushMs: 3_600_000,
    now: () => now,
    write: () => Promise.resolve(),
    onProblem: (problem, error) => {
      throw new Error(problem, { cause: error });
    },
  });
  const micros: number[] = [];
  const numbers = Array.from({ length: users }, (_, i) => userOf(`192.0.2.${i}`)!);
  for (let round = 0; round < ROUNDS; round++) {
    const ms = cpu(() => {
      for (let i = 0; i < LOOK_UPS; i++) {
        const user = i % Math.max(1, users);
        const turn = Math.floor(i / Math.max(1, users));
        entities.use(numbers[user], KEYSPACE, tokens[(user * 7 + (turn % 4)) % KEYS]!);
        if (user > 0 || turn % REQUESTS_PER_USER > 0 || users === 0) continue;
        now += 60_000;
        void entities.flush();
      }
    });
    await entities.flush();
    micros.push((1_000 * ms) / LOOK_UPS);
  }
  await entities.close();
  return spread(micros);
}

answering(({ partitions }: MeasureRoutes) => measure(partitions));
