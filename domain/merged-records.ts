import type { AccessRecord } from './access.js';
import { MAX_CLIENTS_PER_RECORD, MAX_TOKENS_PER_RECORD } from './access.js';
import { totalBytes } from './access-bytes.js';
import { mergedDetails, startOf } from './access-roll-up.js';
import { grouped } from './grouped.js';

/** Windows of access history are at least about so long: records of one minute need not be told apart. */
const MINUTE_MS = 60_000;

/**
 * Records of the same partition, node, region and minute as one, with the time of the first: fewer records that tell nearly the
 * same. Of the busiest tokens and networks some may be counted too low, as in any merger of these.
 */
export function mergedRecords(records: readonly AccessRecord[]): AccessRecord[] {
  const places = grouped(records, ({ keyspace, partition, node, region, time }) =>
    JSON.stringify([keyspace, partition, node, region, startOf(time, MINUTE_MS)]),
  );
  return [...places.values()].map((same) => (same.length === 1 ? same[0]! : sumOf(same)));
}

function sumOf(records: readonly AccessRecord[]): AccessRecord {
  const sum = (of: (record: AccessRecord) => number) => records.reduce((total, record) => total + of(record), 0);
  const details = mergedDetails(
    records.map(({ latencyMs, clients, distinctClients = [], tokens }) => ({
      ...{ bins: latencyMs.bins ?? [], clients, distinctClients, tokens },
    })),
  );
  const { distinctClients } = details;
  return {
    ...records[0]!,
    time: Math.min(...records.map(({ time }) => time)),
    reads: sum(({ reads }) => reads),
    writes: sum(({ writes }) => writes),
    errors: sum(({ errors }) => errors),
    ...totalBytes(records),
    latencyMs: {
      sum: sum(({ latencyMs }) => latencyMs.sum),
      max: Math.max(...records.map(({ latencyMs }) => latencyMs.max)),
      ...(details.bins.length === 0 ? {} : { bins: details.bins }),
    },
    clients: details.clients.slice(0, MAX_CLIENTS_PER_RECORD),
    ...(distinctClients.length === 0 ? {} : { distinctClients }),
    tokens: details.tokens.slice(0, MAX_TOKENS_PER_RECORD),
  };
}
