import type { Interval, Token } from './token.js';
import type { TokenLoad } from './weights.js';

/** What is known of the load of a partition, token by token. */
export interface KnownLoad {
  /** The partition's. */
  readonly tokens: Interval;
  /** Requests for one token each, at least: of each access record the busiest alone are known. */
  readonly loads: readonly TokenLoad[];
  /** All requests to the partition. Those that are not among `loads` are taken to be spread evenly. */
  readonly requests: number;
}

/** An entity with a share of its partition's load that stands out. */
export interface HotEntity {
  readonly token: Token;
  readonly requests: number;
  /** Of all requests to the partition, in [0, 1]. */
  readonly share: number;
}

/** The narrowest range of tokens with a part of the known load. */
export interface HotRange {
  readonly tokens: Interval;
  readonly requests: number;
  readonly share: number;
  /** Of the partition's tokens, in [0, 1]. */
  readonly width: number;
}

/** Each token once, those inside of the partition only, in their order. */
export function loadsInOrder({ tokens, loads }: KnownLoad): TokenLoad[] {
  const byToken = new Map<Token, number>();
  for (const { token, load } of loads) {
    if (token >= tokens.low && token < tokens.high && load > 0) byToken.set(token, (byToken.get(token) ?? 0) + load);
  }
  return [...byToken].map(([token, load]) => ({ token, load })).sort((a, b) => (a.token < b.token ? -1 : 1));
}

/** All requests: never fewer than those that are known by their token. */
export const totalOf = (known: KnownLoad, ordered: readonly TokenLoad[]): number =>
  Math.max(
    known.requests,
    ordered.reduce((sum, { load }) => sum + load, 0),
  );

/** @param least share of an entity that is told */
export function hotEntities(known: KnownLoad, least: number, atMost: number): HotEntity[] {
  const ordered = loadsInOrder(known);
  const total = totalOf(known, ordered);
  return ordered
    .map(({ token, load }) => ({ token, requests: load, share: load / total }))
    .filter(({ share }) => share >= least)
    .sort((a, b) => b.requests - a.requests || (a.token < b.token ? -1 : 1))
    .slice(0, atMost);
}

/** @param part of the known load that is to be in the range, in (0, 1] @returns undefined where nothing is known */
export function hottestRange(known: KnownLoad, part: number): HotRange | undefined {
  const ordered = loadsInOrder(known);
  const sum = ordered.reduce((total, { load }) => total + load, 0);
  let best: { readonly tokens: Interval; readonly requests: number } | undefined;
  let inside = 0;
  let first = 0;
  for (const { token, load } of ordered) {
    inside += load;
    // As narrow as it can be with this end.
    while (inside - ordered[first]!.load >= part * sum) inside -= ordered[first++]!.load;
    if (inside < part * sum) continue;
    const tokens = { low: ordered[first]!.token, high: token + 1n };
    if (best === undefined || widthOf(tokens) < widthOf(best.tokens)) best = { tokens, requests: inside };
  }
  if (best === undefined) return undefined;
  return { ...best, share: best.requests / totalOf(known, ordered), width: ratio(best.tokens, known.tokens) };
}

const widthOf = ({ low, high }: Interval): bigint => high - low;

/** Width of an interval in another one, in [0, 1]. */
export const ratio = (part: Interval, whole: Interval): number => Number(widthOf(part)) / Number(widthOf(whole));
