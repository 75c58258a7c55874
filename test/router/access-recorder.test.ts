import { describe, expect, it } from 'vitest';
import type { AccessRecord } from '../../domain/access.js';
import { MAX_TOKENS_PER_RECORD } from '../../domain/access.js';
import type { AccessRecorderOptions } from '../../router/access-recorder.js';
import { AccessRecorder } from '../../router/access-recorder.js';

function recorder(part: Partial<AccessRecorderOptions> = {}) {
  const written: AccessRecord[][] = [];
  const problems: string[] = [];
  const each = new AccessRecorder({
    region: 'eu',
    network: '10.1.2.0/24',
    flushMs: 3_600_000,
    now: () => 5_000,
    write: (records) => {
      written.push(records);
      return Promise.resolve();
    },
    onProblem: (problem) => problems.push(problem),
    ...part,
  });
  return { each, written, problems };
}

describe('access records', () => {
  it('add up the requests of each partition', async () => {
    const { each, written } = recorder();
    each.count('shop.orders', 'p0', 'a', 7n, 'reads', 2, false);
    each.count('shop.orders', 'p0', 'a', 7n, 'writes', 10, false);
    each.count('shop.orders', 'p0', 'a', 8n, 'writes', 4, true);
    each.count('shop.orders', 'p1', 'a', 9n, 'reads', 1, false);
    each.count('shop.carts', 'p0', 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(written).toHaveLength(1);
    expect(written[0]).toHaveLength(3);
    expect(written[0]![0]).toEqual({
      keyspace: 'shop.orders',
      partition: 'p0',
      node: 'a',
      region: 'eu',
      time: 5_000,
      reads: 1,
      writes: 2,
      errors: 1,
      latencyMs: { sum: 16, max: 10 },
      clients: [['10.1.2.0/24', 3]],
      tokens: [
        [7n, 2],
        [8n, 1],
      ],
    });
    await each.close();
  });

  it('start from zero after a flush, and write nothing when nothing happened', async () => {
    const { each, written } = recorder();
    await each.flush();
    expect(written).toEqual([]);
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await each.flush();
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(written.map(([record]) => record!.reads)).toEqual([1, 1]);
    await each.close();
    expect(written).toHaveLength(2);
  });

  it('stay small however many tokens are used: the busiest are named, the totals are complete', async () => {
    const { each, written } = recorder();
    for (let i = 0; i < 50_000; i++) each.count('k', 'p', 'a', BigInt(i), 'reads', 1, false);
    for (let i = 0; i < 20; i++) for (let n = 0; n <= i; n++) each.count('k', 'p', 'a', BigInt(i), 'writes', 1, false);
    await each.flush();
    const [record] = written[0]!;
    expect(record).toMatchObject({ reads: 50_000, writes: 210 });
    expect(record!.tokens).toHaveLength(MAX_TOKENS_PER_RECORD);
    expect(record!.tokens.slice(0, 2)).toEqual([
      [19n, 21],
      [18n, 20],
    ]);
    // What is held in memory is bounded, too: within the process, not only in what is written.
    expect(JSON.stringify(record, (_, value: unknown) => (typeof value === 'bigint' ? '' : value)).length).toBeLessThan(
      4_000,
    );
    await each.close();
  });

  it('are lost, and nothing else, when they can’t be written', async () => {
    let broken = true;
    const written: AccessRecord[] = [];
    const { each, problems } = recorder({
      write: (records) => {
        if (broken) return Promise.reject(new Error('no catalog'));
        written.push(...records);
        return Promise.resolve();
      },
    });
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(problems).toEqual(['writing access records']);
    broken = false;
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await each.close();
    expect(written).toMatchObject([{ reads: 1 }]);
  });

  it('go on adding up while a catalog that hangs holds up their writing', async () => {
    let answer!: () => void;
    const written: AccessRecord[][] = [];
    const { each } = recorder({
      write: (records) => {
        written.push(records);
        return written.length === 1 ? new Promise<void>((resolve) => (answer = resolve)) : Promise.resolve();
      },
    });
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    const hanging = each.flush();
    for (let i = 0; i < 5; i++) {
      each.count('k', 'p', 'a', 1n, 'reads', 1, false);
      await each.flush();
    }
    expect(written).toHaveLength(1);
    answer();
    await hanging;
    await each.close();
    expect(written[1]).toMatchObject([{ reads: 5 }]);
  });

  it('are written now and then by themselves, and for the last time at the end', async () => {
    const { each, written } = recorder({ flushMs: 5 });
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(written).toHaveLength(1);
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await each.close();
    expect(written).toHaveLength(2);
  });

  it('name no client network where none is known', async () => {
    const written: AccessRecord[] = [];
    const each = new AccessRecorder({
      region: 'eu',
      flushMs: 3_600_000,
      now: () => 0,
      write: (records) => (written.push(...records), Promise.resolve()),
      onProblem: () => undefined,
    });
    each.count('k', 'p', 'a', 1n, 'reads', 1, false);
    await each.close();
    expect(written[0]!.clients).toEqual([]);
  });
});
