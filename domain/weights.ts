import { DroverError } from './errors.js';
import type { Interval, Token } from './token.js';

export const DEFAULT_WEIGHTS: readonly number[] = [1, 5, 25, 50, 100];

/**
 * Weights of a cutover: the target's share of the partition's load in percent, rising strictly to 100.
 *
 * @param above the weight at which the migration stands, when weights are amended
 * @throws DroverError `InvalidRequest`
 */
export function checkWeights(weights: readonly number[], above = 0): readonly number[] {
  const rising = weights.every((weight, i) => Number.isFinite(weight) && weight > (weights[i - 1] ?? above));
  if (weights.length === 0 || !rising || weights.at(-1) !== 100) {
    const from = above > 0 ? ` from above ${above}, where the migration stands,` : '';
    throw new DroverError(
      'InvalidRequest',
      `weights must rise strictly${from} to 100, such as ${example(above)}; got ${JSON.stringify(weights)}`,
    );
  }
  return weights;
}

const example = (above: number): string => {
  const usual = DEFAULT_WEIGHTS.filter((weight) => weight > above);
  return usual.length === 0 ? '100' : usual.join(',');
};

/** Load of one token (an entity, or a sampled document standing for its neighbourhood). */
export interface TokenLoad {
  readonly token: Token;
  readonly load: number;
}

/**
 * Boundary that gives the target `weight` percent of the load: entities stay whole, so it is the smallest prefix of
 * tokens that holds at least that share. 0 and 100 are the ends of the partition, whatever the load. Without any
 * known load the token range itself is divided.
 */
export function boundaryFor(weight: number, tokens: Interval, loads: readonly TokenLoad[]): Token {
  if (weight <= 0) return tokens.low;
  if (weight >= 100) return tokens.high;
  const inside = loads
    .filter(({ token, load }) => token >= tokens.low && token < tokens.high && load > 0)
    .sort((a, b) => (a.token < b.token ? -1 : a.token > b.token ? 1 : 0));
  const total = inside.reduce((sum, { load }) => sum + load, 0);
  if (total === 0) {
    const width = tokens.high - tokens.low;
    return tokens.low + (width * BigInt(Math.round(weight * 1000))) / 100_000n;
  }
  let seen = 0;
  for (const { token, load } of inside) {
    seen += load;
    // Two loads of one token may follow each other; the boundary lies behind the token either way.
    if (seen * 100 >= weight * total) return token + 1n;
  }
  return tokens.high;
}

/** The target's share of the load, in percent, with the boundary where it is. */
export function weightAt(boundary: Token, tokens: Interval, loads: readonly TokenLoad[]): number {
  if (boundary <= tokens.low) return 0;
  if (boundary >= tokens.high) return 100;
  const inside = loads.filter(({ token }) => token >= tokens.low && token < tokens.high);
  const total = inside.reduce((sum, { load }) => sum + load, 0);
  if (total === 0) return Number(((boundary - tokens.low) * 10_000n) / (tokens.high - tokens.low)) / 100;
  const below = inside.reduce((sum, { token, load }) => (token < boundary ? sum + load : sum), 0);
  return (100 * below) / total;
}
