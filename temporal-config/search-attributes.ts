import type { Connection } from '@temporalio/client';
import { DroverError } from '../domain/errors.js';

/** The search attributes of Drover's workflows, all of type Keyword. */
export const SEARCH_ATTRIBUTES = [
  'DroverKeyspace',
  'DroverPartition',
  'DroverSource',
  'DroverTarget',
  'DroverPhase',
] as const;

export type SearchAttributeName = (typeof SEARCH_ATTRIBUTES)[number];

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
const KEYWORD = 2;

/** Those of Drover's search attributes that the namespace doesn't know. */
export async function missingSearchAttributes(
  connection: Connection,
  namespace: string,
): Promise<readonly SearchAttributeName[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return SEARCH_ATTRIBUTES.filter((name) => customAttributes?.[name] === undefined);
}

/**
 * Registers those that are missing.
 *
 * @throws DroverError Unavailable, with the command to do it by hand, when the server does not let us
 */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  try {
    const missing = await missingSearchAttributes(connection, namespace);
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (cause) {
    const names = SEARCH_ATTRIBUTES.map((name) => `--name ${name} --type Keyword`).join(' ');
    throw new DroverError(
      'Unavailable',
      `can't register search attributes (${(cause as Error).message}); ` +
        `ask for: temporal operator search-attribute create --namespace ${namespace} ${names}`,
      { cause },
    );
  }
}
