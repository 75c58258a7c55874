import type { UsedTogether } from '../domain/access-correlation.js';
import type { Partition } from '../domain/partition.js';
import { tokensOf } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { contains } from '../domain/token.js';
import type { AccessSpan } from '../store/catalog/access-top.js';
import type { ControlContext } from './context.js';
import { keyOf } from './entity-key.js';

export interface UsedEntity {
  /** Its key; undefined where its owner could not be asked, or has no document of it. */
  readonly key: unknown;
  readonly token: Token;
  /** That it belongs to by now. */
  readonly partition: string;
}

/** Two entities that the same users use within a minute. */
export interface EntitiesTogether extends Omit<UsedTogether, 'a' | 'b'> {
  readonly a: UsedEntity;
  readonly b: UsedEntity;
}

/**
 * In the hours that the time touches; those that belong together most first.
 *
 * @returns since the hour from which on it is told: a later one than asked for where there is too much
 */
export async function entitiesTogether(
  context: ControlContext,
  partitions: readonly Partition[],
  { span, atMost }: { readonly span: AccessSpan; readonly atMost: number },
): Promise<{ readonly since: Date; readonly pairs: EntitiesTogether[] }> {
  const known = new Map<Token, Promise<UsedEntity | undefined>>();
  const entity = (token: Token): Promise<UsedEntity | undefined> => {
    const found = known.get(token) ?? namedEntity(context, partitions, token);
    known.set(token, found);
    return found;
  };
  const { since, pairs } = await context.catalog.entityPairs.top(span, atMost);
  const named = await Promise.all(
    pairs.map(async (pair) => {
      const [a, b] = await Promise.all([entity(pair.a), entity(pair.b)]);
      return a !== undefined && b !== undefined ? [{ ...pair, a, b }] : [];
    }),
  );
  return { since, pairs: named.flat() };
}

async function namedEntity(
  context: ControlContext,
  partitions: readonly Partition[],
  token: Token,
): Promise<UsedEntity | undefined> {
  const partition = partitions.find((each) => contains(tokensOf(each), token));
  return partition && { key: await keyOf(context, partition, token), token, partition: partition.name };
}
