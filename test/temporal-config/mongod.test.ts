import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startMongod, type MongodProcess } from '../../temporal-config/mongod.js';

let root: string;
let dir: string;
let server: MongodProcess;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drover-mongod-'));
  dir = join(root, 'us-1');
  server = await startMongod({ name: 'us-1', dir, oplogMb: 990 });
});

afterAll(async () => {
  await server?.stop();
  await rm(root, { recursive: true, force: true });
});

async function withClient<T>(uri: string, work: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 20_000 });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

it('refuses whoever comes without credentials', async () => {
  const anonymous = `mongodb://127.0.0.1:${server.port}/?replicaSet=us-1`;
  const read = withClient(anonymous, (client) => client.db('shop').collection('orders').findOne());
  await expect(read).rejects.toThrow(/requires authentication/);
});

it('keeps credentials out of the process list and from other users', async () => {
  const password = new URL(server.uri).password;
  const shown = execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(server.pid)], { encoding: 'utf8' });
  expect(shown).toContain('--keyFile');
  expect(shown).not.toContain(password);
  for (const file of ['server.json', 'keyfile']) expect((await stat(join(dir, file))).mode & 0o777).toBe(0o600);
});

it('returns the one that runs already instead of a second one', async () => {
  const again = await startMongod({ name: 'us-1', dir });
  expect([again.pid, again.started]).toEqual([server.pid, false]);
});

it.each(['stop', 'SIGKILL'] as const)('keeps data, port and credentials after %s', async (way) => {
  await withClient(server.uri, async (client) => {
    await client
      .db('shop')
      .collection('orders')
      .insertOne({ way }, { writeConcern: { w: 'majority' } });
  });
  const { uri, pid } = server;
  if (way === 'SIGKILL') server.kill('SIGKILL');
  await server.stop();
  expect(server.isRunning()).toBe(false);

  server = await startMongod({ name: 'us-1', dir });
  expect(server.uri).toBe(uri);
  expect(server.pid).not.toBe(pid);
  expect(await withClient(uri, (client) => client.db('shop').collection('orders').countDocuments({ way }))).toBe(1);
});

it('says so when another program has taken its port', async () => {
  await server.stop();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(server.port, '127.0.0.1', resolve));
  await expect(startMongod({ name: 'us-1', dir })).rejects.toThrow(`port ${server.port} of MongoDB us-1 is taken`);
  await new Promise((resolve) => other.close(resolve));
});

it('says what mongod said when it ends at once', async () => {
  const start = startMongod({ name: 'eu-1', dir: join(root, 'eu-1'), extraArgs: ['--no-such-option'] });
  await expect(start).rejects.toThrow(/MongoDB eu-1 ended at once: .*no-such-option/);
});

it('starts three members, elects another primary when one is killed, and starts that one again', async () => {
  const folder = join(root, 'ap-3');
  const set = await startMongod({ name: 'ap-3', dir: folder, members: 3 });
  try {
    await withClient(set.uri, async (client) => {
      const orders = client.db('shop').collection('orders');
      await orders.insertOne({ before: true }, { writeConcern: { w: 'majority' } });
      const { primary } = await client.db('admin').command({ hello: 1 });
      const member = set.members.find(({ port }) => primary === `127.0.0.1:${port}`)!;
      member.kill('SIGKILL');
      await orders.insertOne({ after: true }, { writeConcern: { w: 'majority' } });
      expect(await orders.countDocuments()).toBe(2);

      const again = await startMongod({ name: 'ap-3', dir: folder });
      expect(again.uri).toBe(set.uri);
      expect(again.members.map((each) => each.isRunning())).toEqual([true, true, true]);
      expect(again.members.filter(({ pid }) => set.members.some((each) => each.pid === pid))).toHaveLength(2);
      await again.stop();
    });
  } finally {
    await set.stop();
  }
});
