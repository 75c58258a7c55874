import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { ingestAccessLog } from '../client/access-ingestion.js';
import type { IngestionRequest } from '../client/access-ingestion.js';
import { openControl } from '../client/context.js';
import { loadConfiguration } from '../config/index.js';
import type { AccessLogFormat } from '../domain/access-log.js';
import { equalIntervals } from '../domain/hash-ring.js';
import { random } from '../examples/random.js';
import { startMongod } from '../temporal-config/mongod.js';
import type { Bench, Round } from './bench.js';
import { comparison } from './bench.js';

const KEYSPACE = 'shop.orders';
const PARTITIONS = 16;
const CUSTOMERS = 20_000;
const REGIONS = ['us-east', 'eu-west', 'ap-south'];
const AGAINST = 'readline + JSON.parse';

interface Access {
  readonly time: Date;
  readonly customer: string;
  readonly region: string;
  readonly client: string;
  readonly method: string;
  readonly status: number;
  readonly latency: number;
}

const LINES: Readonly<Record<AccessLogFormat, (access: Access) => string>> = {
  jsonl: ({ time, ...access }) => JSON.stringify({ ts: time.toISOString(), ...access }),
  csv: ({ time, customer, region, client, method, status, latency }) =>
    `${time.toISOString()},${customer},${region},${client},${method},${status},${latency}`,
  clf: ({ time, customer, client, method, status }) =>
    `${client} - - [${clfTime(time)}] "${method} /customers/${customer}/orders HTTP/1.1" ${status} 512 "-" "bench/1.0"`,
};
const REQUESTS: Readonly<Record<AccessLogFormat, Partial<IngestionRequest>>> = {
  jsonl: { map: { time: 'ts', operation: 'method' } },
  csv: { map: { time: 'ts', operation: 'method' } },
  clf: { map: { key: 'path' }, keyPattern: '^/customers/([^/]+)', region: 'us-east' },
};

/** Reading access logs into the access history, against reading a log and doing nothing with it. */
export const ingest: Bench = {
  about: 'lines a second of access logs ingested, by format, against a loop that reads lines and parses them',
  defaults: { documents: 1_000_000 },
  run: async ({ documents, rounds, say }) => {
    const folder = await mkdtemp(join(tmpdir(), 'drover-bench-'));
    const mongod = await startMongod({ name: 'catalog', dir: join(folder, 'catalog') });
    try {
      const formats = ['jsonl', 'csv', 'clf'] as const;
      for (const format of formats) await writeLog(join(folder, format), format, documents);
      const results = formats.map((format) => ({ format, measured: [] as Round[] }));
      for (let round = 0; round < rounds; round++) {
        for (const { format, measured } of results) {
          const baseline = documents / (await seconds(() => readAndParse(join(folder, 'jsonl'))));
          const drover = await ingested(
            mongod.uri,
            `bench-${format}-${round}`,
            format,
            join(folder, format),
            documents,
          );
          measured.push({ drover, baseline });
          say(`round ${round + 1}, ${format}: ${Math.round(drover)} lines/s, ${AGAINST} ${Math.round(baseline)}`);
        }
      }
      return results.map(({ format, measured }) =>
        comparison(
          { case: `ingest ${documents.toLocaleString('en-US')} lines of ${format}`, against: AGAINST, unit: 'lines/s' },
          'higher',
          measured,
        ),
      );
    } finally {
      await mongod.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** @returns lines a second, the wait for the last records included */
async function ingested(
  uri: string,
  database: string,
  format: AccessLogFormat,
  file: string,
  lines: number,
): Promise<number> {
  const env = { DROVER_CATALOG_URI: uri, DROVER_CATALOG_DATABASE: database };
  const control = await openControl({ configuration: await loadConfiguration({ env, cwd: tmpdir() }) });
  try {
    await control.catalog.addKeyspace(
      {
        _id: KEYSPACE,
        database: 'shop',
        collection: 'orders',
        dimensions: [{ kind: 'hashed', field: 'customer' }],
        createdAt: new Date(),
      },
      equalIntervals(PARTITIONS).map((interval, i) => ({
        id: `${KEYSPACE}/p${i}`,
        keyspace: KEYSPACE,
        name: `p${i}`,
        box: [interval] as const,
        collection: `orders.p${i}`,
        epoch: 1,
        attempt: 0,
        gates: [],
        route: { source: 'us-1', target: null, boundary: interval.low, fence: null },
        handover: null,
        lastMovedAt: null,
      })),
    );
    const took = await seconds(async () => {
      const { accesses } = await ingestAccessLog(control, { file, format, keyspace: KEYSPACE, ...REQUESTS[format] });
      if (accesses !== lines) throw new Error(`${accesses} of ${lines} lines of ${format} were counted`);
    });
    return lines / took;
  } finally {
    await control.close();
  }
}

/** Of one day, which ends now. */
async function writeLog(file: string, format: AccessLogFormat, lines: number): Promise<void> {
  const next = random(7);
  const out = createWriteStream(file);
  if (format === 'csv') out.write('ts,customer,region,client,method,status,latency\n');
  const from = Date.now() - 24 * 3_600_000;
  for (let begin = 0; begin < lines; begin += 10_000) {
    let text = '';
    for (let i = begin; i < Math.min(lines, begin + 10_000); i++) {
      text += `${LINES[format]({
        time: new Date(from + (i * 24 * 3_600_000) / lines),
        // A few customers make most of the requests.
        customer: `c${Math.floor(CUSTOMERS * next() ** 3)}`,
        region: REGIONS[Math.floor(3 * next())]!,
        client: `10.${Math.floor(4 * next())}.${Math.floor(64 * next())}.${Math.floor(256 * next())}`,
        method: next() < 0.8 ? 'GET' : 'POST',
        status: next() < 0.99 ? 200 : 503,
        latency: Math.round(1000 * next()) / 100,
      })}\n`;
    }
    if (!out.write(text)) await once(out, 'drain');
  }
  out.end();
  await finished(out);
}

async function readAndParse(file: string): Promise<void> {
  let requests = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    requests += (JSON.parse(line) as Access).customer === '' ? 0 : 1;
  }
  if (requests === 0) throw new Error('nothing was read');
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (value: number): string => String(value).padStart(2, '0');
const clfTime = (time: Date): string =>
  `${two(time.getUTCDate())}/${MONTHS[time.getUTCMonth()]}/${time.getUTCFullYear()}:${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())} +0000`;
