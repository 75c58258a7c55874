import type { AccessRecord } from '../../domain/access.js';
import type { AccessBytes } from '../../domain/access-bytes.js';
import type { AccessDetails, RolledUpCounts, RolledUpDetails } from '../../domain/access-roll-up.js';
import { tokenFromBson, tokenToBson } from '../codec.js';

type StoredToken = ReturnType<typeof tokenToBson>;

/** What one router saw in one interval, as it was written; rolled up after some hours. */
export interface RecordDocument {
  /** Given by whoever writes it: what is written again after an unknown outcome is there once. */
  _id: string;
  /** Start of the router's flush interval. */
  time: Date;
  meta: { keyspace: string; partition: string; region: string; node?: string; batch?: string };
  reads: number;
  writes: number;
  errors: number;
  latencyMs: { sum: number; max: number; bins?: (readonly [number, number])[] };
  /** Missing where nobody has counted them. */
  bytes?: AccessBytes;
  clients: (readonly [string, number])[];
  distinctClients?: StoredToken[];
  tokens: (readonly [StoredToken, number])[];
}

interface RolledUpDocument {
  _id: string;
  time: Date;
  meta: { keyspace: string; partition: string; region: string };
  lengthMs: number;
  /** The server removes it then. */
  expireAt: Date;
}

/** Counts of a window or an hour. */
export interface CountsDocument extends RolledUpDocument {
  tier: RolledUpCounts['tier'];
  reads: number;
  writes: number;
  errors: number;
  latencyMs: { sum: number; max: number };
  /** Of those that told. */
  bytes?: AccessBytes;
}

/** Details of an hour, in the form that records have them in. */
export interface DetailsDocument extends RolledUpDocument {
  latencyMs: { bins: (readonly [number, number])[] };
  clients: (readonly [string, number])[];
  distinctClients: StoredToken[];
  tokens: (readonly [StoredToken, number])[];
}

export function recordToDocument(record: AccessRecord, id: string, batch: string | undefined): RecordDocument {
  const { keyspace, partition, region, node, time, tokens, clients, latencyMs, distinctClients, ...counts } = record;
  const { bins, ...latency } = latencyMs;
  return {
    _id: id,
    time: new Date(time),
    meta: {
      keyspace,
      partition,
      region,
      ...(node === undefined ? {} : { node }),
      ...(batch === undefined ? {} : { batch }),
    },
    ...counts,
    latencyMs: { ...latency, ...(bins === undefined ? {} : { bins: [...bins] }) },
    clients: [...clients],
    ...(distinctClients === undefined ? {} : { distinctClients: distinctClients.map(tokenToBson) }),
    tokens: tokensToBson(tokens),
  };
}

export function recordFromDocument({ _id, time, meta, ...rest }: RecordDocument): AccessRecord {
  const { keyspace, partition, region, node } = meta;
  const { latencyMs, bytes, distinctClients, tokens, reads, writes, errors, clients } = rest;
  return {
    keyspace,
    partition,
    region,
    ...(node === undefined ? {} : { node }),
    time: time.getTime(),
    reads,
    writes,
    errors,
    latencyMs,
    ...(bytes === undefined ? {} : { bytes }),
    clients,
    ...(distinctClients === undefined ? {} : { distinctClients: distinctClients.map(tokenFromBson) }),
    tokens: tokensFromBson(tokens),
  };
}

export const detailsToDocument = ({ bins, clients, distinctClients, tokens }: AccessDetails) => ({
  latencyMs: { bins: [...bins] },
  clients: [...clients],
  distinctClients: distinctClients.map(tokenToBson),
  tokens: tokensToBson(tokens),
});

export const detailsFromDocument = (document: DetailsDocument): AccessDetails => ({
  bins: document.latencyMs.bins,
  clients: document.clients,
  distinctClients: document.distinctClients.map(tokenFromBson),
  tokens: tokensFromBson(document.tokens),
});

/** One document for a stretch of time, whoever rolls up; another length, of another policy, is another stretch. */
export const rolledUpId = (
  { keyspace, partition }: { readonly keyspace: string; readonly partition: string },
  { region, time, lengthMs }: Pick<RolledUpDetails, 'region' | 'time' | 'lengthMs'>,
  tier: string,
): string => JSON.stringify([keyspace, partition, region, tier, time, lengthMs]);

const tokensToBson = (tokens: AccessDetails['tokens']) =>
  tokens.map(([token, requests]) => [tokenToBson(token), requests] as const);

const tokensFromBson = (tokens: RecordDocument['tokens']) =>
  tokens.map(([token, requests]) => [tokenFromBson(token), requests] as const);
