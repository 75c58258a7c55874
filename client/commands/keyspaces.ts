import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Document } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { KeyspaceDetails } from '../keyspaces.js';
import { positiveInteger } from './arguments.js';
import { withControl } from './invocation.js';
import { ago, count, facts, size, some, table } from './presentation.js';

export function addKeyspaceCommands(program: Command): void {
  const keyspace = program.command('keyspace').description('logical collections that are spread over nodes');

  keyspace
    .command('create <name>')
    .description('make a keyspace, such as shop.orders, with its partitions spread evenly over the nodes')
    .requiredOption('--key <field>', 'partition key: documents with the same value stay together')
    .requiredOption('--partitions <number>', 'how many partitions', positiveInteger)
    .option('--validator <file>', 'your own validator of its documents (extended JSON), kept beside the fence')
    .option('--options <file>', "options of its collections (extended JSON), such as the storage engine's")
    .action(
      withControl<{ key: string; partitions: number; validator?: string; options?: string }>(
        async ({ control, options, terminal }, name) => {
          const { createKeyspace } = await import('../keyspaces.js');
          const { key, partitions: number } = options;
          const given = {
            ...(options.validator === undefined
              ? {}
              : { validator: await readDocument('validator', options.validator) }),
            ...(options.options === undefined ? {} : { options: await readDocument('options', options.options) }),
          };
          const partitions = await createKeyspace(control, { name, key, partitions: number, ...given });
          const owners = new Map<string, number>();
          for (const { route } of partitions) owners.set(route.source, (owners.get(route.source) ?? 0) + 1);
          terminal.result(
            {
              name,
              key,
              partitions: partitions.map((each) => ({
                partition: each.name,
                owner: each.route.source,
                tokens: each.box[0],
              })),
            },
            `Keyspace ${name} has ${some(partitions.length, 'partition')} by ${key}: ` +
              `${[...owners].map(([node, owned]) => `${owned} on ${node}`).join(', ')}.`,
          );
        },
      ),
    );

  keyspace
    .command('list')
    .description('keyspaces with their keys')
    .action(
      withControl(async ({ control, terminal }) => {
        const { listKeyspaces } = await import('../keyspaces.js');
        const keyspaces = await listKeyspaces(control);
        terminal.result(
          { keyspaces },
          table(
            keyspaces,
            [
              { title: 'keyspace', value: ({ name }) => name },
              { title: 'key', value: ({ key }) => key },
              { title: 'partitions', value: ({ partitions }) => count(partitions), right: true },
              { title: 'moving', value: ({ moving }) => count(moving), right: true },
              { title: 'created', value: ({ createdAt }) => ago(createdAt) },
            ],
            'There is no keyspace yet: "drover keyspace create shop.orders --key customerId --partitions 16" makes one.',
          ),
        );
      }),
    );

  keyspace
    .command('show <name>')
    .description('what each node holds of a keyspace')
    .action(
      withControl(async ({ control, terminal }, name) => {
        const { showKeyspace } = await import('../keyspaces.js');
        const shown = await showKeyspace(control, name);
        terminal.result(shown, describe(shown));
      }),
    );
}

/** @throws DroverError `InvalidRequest` */
async function readDocument(what: string, file: string): Promise<Document> {
  const { BSON } = await import('mongodb');
  try {
    const parsed: unknown = BSON.EJSON.parse(await readFile(file, 'utf8'));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
    throw new Error('it is not a JSON object');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DroverError('InvalidRequest', `the ${what} in ${file} can't be read: ${reason}`);
  }
}

const describe = ({ name, key, partitions, moving, createdAt, nodes }: KeyspaceDetails): string =>
  [
    facts([
      ['keyspace', name],
      ['key', `${key} (hashed)`],
      ['partitions', `${count(partitions)}, ${count(moving)} of them moving`],
      ['created', ago(createdAt)],
    ]),
    '',
    table(
      nodes,
      [
        { title: 'node', value: ({ node }) => node },
        { title: 'region', value: ({ region }) => region },
        { title: 'partitions', value: (share) => count(share.partitions), right: true },
        { title: 'documents', value: ({ documents }) => count(documents) ?? 'unknown', right: true },
        { title: 'size', value: ({ bytes }) => size(bytes) ?? 'unknown', right: true },
        { title: 'requests/h', value: ({ requestsLastHour }) => count(requestsLastHour), right: true },
      ],
      'No node holds anything of it.',
    ),
  ].join('\n');
