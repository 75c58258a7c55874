import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { missingSearchAttributes } from '../../temporal-config/search-attributes.js';
import { prepareTemporal, startTemporal, type TemporalProcess } from '../../temporal-config/temporal-server.js';

let dir: string;
let server: TemporalProcess;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'drover-temporal-'));
  server = await startTemporal({ dir });
});

afterAll(async () => {
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

async function withConnection<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: server.address });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

const missing = () => withConnection((connection) => missingSearchAttributes(connection, 'default'));

it('serves the UI and knows the search attributes', async () => {
  expect((await fetch(server.uiUrl!)).ok).toBe(true);
  expect(await missing()).toEqual([]);
});

it('keeps workflows, addresses and search attributes across a restart', async () => {
  await withConnection(async (connection) => {
    await new Client({ connection }).workflow.start('migrationWorkflow', {
      workflowId: 'migration/shop.orders/p3',
      taskQueue: 'drover-control',
    });
  });
  const { address, uiUrl } = server;
  await server.stop();
  server = await startTemporal({ dir });
  expect([server.address, server.uiUrl]).toEqual([address, uiUrl]);
  expect(await missing()).toEqual([]);
  const status = await withConnection(async (connection) => {
    const handle = new Client({ connection }).workflow.getHandle('migration/shop.orders/p3');
    return (await handle.describe()).status.name;
  });
  expect(status).toBe('RUNNING');
});

it('registers the search attributes on a server that somebody else runs', async () => {
  await withConnection(async (connection) => {
    await connection.operatorService.removeSearchAttributes({
      namespace: 'default',
      searchAttributes: ['DroverPhase'],
    });
  });
  expect(await missing()).toEqual(['DroverPhase']);
  await prepareTemporal(server.address, 'default');
  expect(await missing()).toEqual([]);
});
