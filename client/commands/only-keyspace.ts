import { DroverError } from '../../domain/errors.js';
import type { Catalog } from '../../store/catalog/catalog.js';

/** @throws DroverError `InvalidRequest` where there are several, or none */
export async function onlyKeyspace({ keyspaces }: Catalog): Promise<string> {
  const names = (await keyspaces.list()).map(({ _id }) => _id);
  if (names.length === 1) return names[0]!;
  const known = names.length === 0 ? 'there is none yet' : `there are ${names.join(', ')}`;
  throw new DroverError('InvalidRequest', `--keyspace says which keyspace is meant: ${known}`);
}
