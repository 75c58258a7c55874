import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Document } from 'mongodb';
import { DroverError, messageOf } from '../../domain/errors.js';
import type { AdoptionPlan } from '../adoption.js';
import type { KeyspaceDetails } from '../keyspaces.js';
import type { ReleasePlan } from '../release.js';
import type { By } from './arguments.js';
import { byOption, durationMs, given, positiveInteger } from './arguments.js';
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
    .command('adopt <name>')
    .description('make a keyspace of a collection that is in use, where it is, without copying')
    .requiredOption('--key <field>', 'partition key: every document has to have it')
    .requiredOption('--partitions <number>', 'how many partitions', positiveInteger)
    .option('--node <node>', 'the node that has the collection, where several do')
    .option('--check', 'say what would be found; change nothing')
    .option('--watch <time>', 'how long to watch who writes past the router, such as 30s (default: 10s)', durationMs)
    .option('--allow-direct-writers', 'adopt although clients write past the router; nothing may move before they stop')
    .action(
      withControl<AdoptOptions>(async ({ control, options, terminal }, name) => {
        const { adoptKeyspace, planAdoption } = await import('../adoption.js');
        const { key, partitions, node, watch: watchMs, allowDirectWriters } = options;
        const request = { name, key, partitions, ...given({ node, watchMs, allowDirectWriters }) };
        terminal.note(`Reading ${name}, and watching who writes to it ...`);
        if (options.check !== true) {
          const adopted = await adoptKeyspace(control, request);
          terminal.result({ adopted }, `${describeAdoption(adopted)}\n\n${AFTER_ADOPTION}`);
          return;
        }
        const plan = await planAdoption(control, request);
        const why = [
          ...plan.obstacles,
          ...(plan.directWriters === null || allowDirectWriters ? [] : [plan.directWriters]),
        ];
        if (why.length === 0) terminal.result({ plan }, describeAdoption(plan));
        else terminal.unsuccessful({ plan }, describeAdoption(plan), `would be refused: ${why.join('; ')}`, 'Refused');
      }),
    );

  keyspace
    .command('release <name>')
    .description('make a plain collection of a keyspace again')
    .option('--node <node>', 'where, if its partitions have a collection each (default: one that has none of them)')
    .option('--move', 'move partitions there that are elsewhere, one after the other')
    .option('--check', 'say whether it could be done; change nothing')
    .addOption(byOption())
    .action(
      withControl<By & { check?: boolean; node?: string; move?: boolean }>(
        async ({ control, options, terminal }, name) => {
          const { planRelease, releaseKeyspace } = await import('../release.js');
          if (options.check === true) {
            const plan = await planRelease(control, name, given({ node: options.node }));
            terminal.result({ plan }, `${name} can be released: all of it is in ${plan.collection} on ${plan.node}.`);
            return;
          }
          const released = await releaseKeyspace(control, name, {
            ...given({ node: options.node, move: options.move }),
            requestedBy: options.by,
            onMove: (partition, node) => terminal.note(`Moving ${partition} to ${node} ...`),
          });
          terminal.result({ released }, describeRelease(released));
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

interface AdoptOptions {
  readonly key: string;
  readonly partitions: number;
  readonly node?: string;
  readonly check?: boolean;
  readonly watch?: number;
  readonly allowDirectWriters?: boolean;
}

const AFTER_ADOPTION =
  'Next: have all applications use the router; clients that go past it are refused what has moved, but their deletes can not be. ' +
  'A move is refused while such a client is seen.';

const describeAdoption = ({ name, key, node, partitions, documents, bytes, indexed, ...plan }: AdoptionPlan): string =>
  facts([
    ['keyspace', name],
    ['node', node],
    ['key', `${key} (hashed; ${indexed ? 'its index is there' : 'its index is built'})`],
    ['partitions', `${count(partitions)}, all in the collection that is there`],
    ['documents', `${count(documents)} (${size(bytes)})`],
    ['obstacles', plan.obstacles.length === 0 ? 'none' : plan.obstacles.join('; ')],
    ['direct writers', plan.directWriters ?? 'none was seen'],
    ['also connected', some(plan.writes.connected.length, 'client')],
  ]);

const describeRelease = ({ name, node, collection, left }: ReleasePlan): string =>
  [
    `${name} is the plain collection ${collection} on ${node} again, with its own validator.`,
    'Next: have applications use the plain driver.',
    ...left.map(
      ({ node: where, collections }) =>
        `Closed and empty on ${where}: ${collections.join(', ')}. Drop them when no process uses the router for ${name} any more.`,
    ),
  ].join('\n');

/** @throws DroverError `InvalidRequest` */
async function readDocument(what: string, file: string): Promise<Document> {
  const { BSON } = await import('mongodb');
  try {
    const parsed: unknown = BSON.EJSON.parse(await readFile(file, 'utf8'));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
    throw new Error('it is not a JSON object');
  } catch (error) {
    const reason = messageOf(error);
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
