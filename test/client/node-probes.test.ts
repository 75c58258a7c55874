import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ControlContext } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import type { NodeDetails } from '../../client/node-details.js';
import type { ProbedNode } from '../../client/node-probes.js';
import type { NodeSummary } from '../../client/nodes.js';
import { DroverClient } from '../../router/index.js';
import type { MongodProcess } from '../../temporal-config/mongod.js';
import { startMongod } from '../../temporal-config/mongod.js';
import { until } from '../store/servers.js';
import type { ShellInUse } from './harness.js';
import { shellWithNodes } from './harness.js';

const KEYSPACE = 'shop.orders';
let folder: string;
let servers: MongodProcess[] = [];
let control: ControlContext;
let the: ShellInUse;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-probes-'));
  const start = (name: string, members: 1 | 3) => startMongod({ name, dir: join(folder, name), oplogMb: 64, members });
  servers = await Promise.all([start('eu-1', 3), start('us-1', 1)]);
  const [eu, us] = servers.map(({ uri }) => uri);
  const nodes = `[{ name: eu-1, region: eu, uri: '${eu}' }, { name: us-1, region: us, uri: '${us}' }]`;
  the = await shellWithNodes(`catalog: '${eu}'\nnodes: ${nodes}\n`, [eu!, us!]);
  ({ control } = the);
  await createKeyspace(control, { name: KEYSPACE, key: 'customer', partitions: 2 });
});
afterAll(async () => {
  await the.stop();
  await Promise.all(servers.map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

const probed = async () => (await the.drover('node', 'probe', '--json')).json<{ nodes: ProbedNode[] }>().nodes;

describe('probes of nodes', () => {
  it('tell what the node uses, by its own status commands', async () => {
    const [eu, us] = (await probed()).map(({ probe }) => probe);
    for (const probe of [eu!, us!]) {
      expect(probe).toMatchObject({ reachable: true, version: expect.any(String) as string });
      for (const name of ['cpuCores', 'cpuShare', 'residentMb', 'memoryShare', 'diskUsedShare'] as const) {
        expect(probe[name], name).toBeGreaterThan(0);
      }
      expect(probe.diskWriteMbPerSecond).toBeGreaterThanOrEqual(0);
      expect(probe.latencyMs!.commands).toBeGreaterThan(0);
    }
    expect(eu).toMatchObject({ membersDown: 0 });
    expect(eu!.replicationLagSeconds).toBeGreaterThanOrEqual(0);
    // It has nobody to be ahead of: that is unknown, not zero.
    expect(us).not.toHaveProperty('replicationLagSeconds');
    expect(us).not.toHaveProperty('membersDown');
  });

  it('are shown with what the partitions use, and the round trips that routers measure from each region', async () => {
    const [eu, us] = servers.map(({ uri }) => uri);
    const nodes = { 'eu-1': eu!, 'us-1': us! };
    const routers = await Promise.all(
      ['eu', 'asia'].map((region) => DroverClient.connect(eu!, { region, nodes, accessFlushMS: 50 })),
    );
    const orders = routers[0]!.db('shop').collection('orders');
    for (let i = 0; i < 40; i++) await orders.insertOne({ customer: `c${i}` });
    for (let i = 0; i < 40; i++) await orders.findOne({ customer: `c${i}` });
    // The driver has measured nothing before its first heartbeat.
    await Promise.all(routers.map((router) => router.close()));
    await until('routers to have told', async () => (await control.catalog.roundTrips.list()).length === 4);

    const { nodes: listed } = (await the.drover('node', 'list', '--json')).json<{ nodes: NodeSummary[] }>();
    for (const { roundTrips } of listed) {
      expect(roundTrips.map(({ region }) => region).sort()).toEqual(['asia', 'eu']);
      for (const { ms, routers: count } of roundTrips) {
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(count).toBe(1);
      }
    }
    const shown = (await the.drover('node', 'show', 'eu-1', '--json')).json<NodeDetails>();
    const all = await Promise.all(
      ['eu-1', 'us-1'].map(
        async (name) => (await the.drover('node', 'show', name, '--json')).json<NodeDetails>().serves,
      ),
    );
    expect(all.flat().reduce((sum, { reads, writes }) => sum + reads + writes, 0)).toBe(80);
    const cores = shown.serves.reduce((sum, { cpuCores }) => sum + (cpuCores ?? 0), 0);
    expect(cores).toBeCloseTo(shown.serves.length === 0 ? 0 : shown.probe!.cpuCores!, 6);
    const people = await the.drover('node', 'show', 'eu-1');
    expect(people.stdout).toMatch(/CPU share +\d+ % of the host[^]*replication lag[^]*FROM REGION +ROUND TRIP/);
    expect((await the.drover('node', 'list')).stdout).toMatch(/ROUND TRIPS[^]*eu \d/);
  });

  it('find a node that does not answer in bounded time, and go on with the others', async () => {
    const us = servers[1]!;
    // Stopped, it still takes connections, and says nothing.
    us.kill('SIGSTOP');
    try {
      const startedAt = performance.now();
      const { exitCode, stdout, stderr } = await the.drover('node', 'probe', '--json');
      expect(performance.now() - startedAt).toBeLessThan(15_000);
      expect(exitCode).toBe(1);
      const { nodes } = JSON.parse(stdout) as { nodes: ProbedNode[] };
      expect(nodes.map(({ name, probe }) => [name, probe.reachable])).toEqual([
        ['eu-1', true],
        ['us-1', false],
      ]);
      expect(nodes[1]!.probe.reason).toMatch(/did not answer|can't be reached|timed out/);
      expect(stderr).toMatch(/do not answer: us-1/);
    } finally {
      us.kill('SIGCONT');
    }
    expect((await the.drover('node', 'show', 'us-1')).stdout).toMatch(/state +not reachable[^]*reason +/);
    expect((await probed())[1]!.probe.reachable).toBe(true);
  });

  it.each([[['show', 'nowhere'], /no node "nowhere"/]])('take %j for wrong use', async (args, sentence) => {
    const { exitCode, stderr } = await the.drover('node', ...args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(sentence);
  });
});
