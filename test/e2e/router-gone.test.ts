import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { partitionFromBson } from '../../store/codec.js';
import { migrate, migrationProgress, waitForMigration } from '../../client/migrations.js';
import type { ApplicationEnd, ApplicationOrder, ApplicationReport } from './application-process.js';
import type { Order, Scene } from './harness.js';
import { scene, until, Writers } from './harness.js';

/** How long a step waits for routers, by default. */
const STEP_TIMEOUT_MS = 500;

type Changes = ReturnType<Scene['control']['catalog']['partitions']['watch']>;

/** Counts until the stream is closed. */
async function countUndone(changes: Changes): Promise<number> {
  let count = 0;
  try {
    for await (const event of changes) {
      if (!('fullDocument' in event) || !event.fullDocument) continue;
      if (partitionFromBson(event.fullDocument).handover?.state.kind === 'undoing') count += 1;
    }
  } catch (error) {
    if (!changes.closed) throw error;
  }
  return count;
}

/** One of two applications is killed, or stopped for longer than its lease; the other one goes on. */
describe('a router', () => {
  let the: Scene;
  let other: ChildProcess;
  let writers: Writers;
  let stream: Changes;
  let undone: Promise<number>;

  beforeAll(async () => {
    the = await scene({ partitions: 4, migration: { dwell: '400ms' } });
  });
  afterAll(() => the.stop());

  beforeEach(async () => {
    const program = fileURLToPath(new URL('./application-process.js', import.meta.url));
    const env = { ...process.env, ...the.cluster.env };
    other = fork(program, [the.cluster.config, the.keyspace], { env });
    await answer('writing');
    const orders = (await the.connect()).db('shop').collection<Order>('orders');
    writers = new Writers(orders, { writers: 4, documentsEach: 100, seed: 5, name: other.pid!.toString() });
    await until('some documents', () => writers.ledger.documents > 100);
  });
  afterEach(() => void other.kill('SIGKILL'));

  const answer = async <Kind extends ApplicationReport['kind']>(kind: Kind) => {
    const [report] = (await once(other, 'message')) as [ApplicationReport];
    expect(report.kind).toBe(kind);
    return report as Extract<ApplicationReport, { kind: Kind }>;
  };
  const tell = (order: ApplicationOrder) => other.send(order);
  const begin = async (partition: string) => {
    stream = the.control.catalog.partitions.watch();
    undone = countUndone(stream);
    const target = the.otherNode(await the.partition(partition));
    await migrate(the.control, { keyspace: the.keyspace, partition, target, weights: [25, 50, 75, 100] });
    await until('the first weight', async () => {
      return (await migrationProgress(the.control, the.keyspace, partition)).weight >= 25;
    });
  };
  /** Ends the migration, and what writes; @returns how many steps were undone, and the longest wait of any write here */
  const end = async (partition: string): Promise<{ undone: number; longestMs: number }> => {
    expect(await waitForMigration(the.control, the.keyspace, partition)).toMatchObject({ outcome: 'completed' });
    await writers.stop();
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({ lost: 0, resurrected: 0, duplicates: 0 });
    await stream.close();
    return { undone: await undone, longestMs: writers.longestMs };
  };
  const goesOn = async (): Promise<void> => {
    other.kill('SIGCONT');
    const ended = answer('stopped');
    tell('stop');
    const { errors, ledger }: ApplicationEnd = await ended;
    expect(errors).toEqual([]);
    expect(ledger).toMatchObject({ lost: 0, resurrected: 0, duplicates: 0 });
  };

  const unnoticed = ({ undone, longestMs }: Awaited<ReturnType<typeof end>>) => {
    expect(undone).toBe(0);
    expect(longestMs).toBeLessThan(2 * STEP_TIMEOUT_MS);
  };
  const noticed = ({ undone, longestMs }: Awaited<ReturnType<typeof end>>) => {
    expect(undone).toBeGreaterThan(0);
    expect(longestMs).toBeLessThan(3 * STEP_TIMEOUT_MS);
  };

  it('killed before a step makes no write wait for it', async () => {
    await begin('p0');
    other.kill('SIGKILL');
    unnoticed(await end('p0'));
  });

  it('stopped before a step makes no write wait for it, and goes on with all that it wrote', async () => {
    await begin('p1');
    other.kill('SIGSTOP');
    unnoticed(await end('p1'));
    await goesOn();
  });

  it('killed inside a step has it undone after its time-out, and made again', async () => {
    await begin('p2');
    tell('SIGKILL');
    noticed(await end('p2'));
  });

  it('stopped inside a step has it undone after its time-out, and goes on with all that it wrote', async () => {
    await begin('p3');
    tell('SIGSTOP');
    noticed(await end('p3'));
    await goesOn();
  });
});
