import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeCounters, NodeProbe } from '../../store/catalog/nodes.js';
import { NodePool } from '../../store/node-pool.js';
import { countersOf, ratesSince } from '../../store/node-rates.js';
import { probeByName } from '../../store/node-status.js';
import type { MongodProcess } from '../../temporal-config/mongod.js';
import { startMongod } from '../../temporal-config/mongod.js';

const AT = new Date('2026-01-01T00:00:00Z');
const counters = (more: Partial<NodeCounters> = {}): NodeCounters => ({
  ...{ host: 'h', startedAt: AT, uptimeMs: 10_000, operations: 100, cpuMicros: 1e6, bytesRead: 0, bytesWritten: 5e6 },
  latencies: { reads: { micros: 1_000, ops: 10 } },
  ...more,
});
const before: NodeProbe = { at: AT, reachable: true, opsPerSecond: 7, counters: counters() };

describe('rates of a node', () => {
  it('are differences over the time of its own clock', () => {
    const now = counters({
      ...{ uptimeMs: 20_000, operations: 600, cpuMicros: 6e6, bytesRead: 2e7, bytesWritten: 5e6 },
      latencies: { reads: { micros: 3_000, ops: 20 }, writes: { micros: 0, ops: 0 } },
    });
    expect(ratesSince(before, now)).toEqual({
      ...{ opsPerSecond: 50, cpuCores: 0.5, diskReadMbPerSecond: 2, diskWriteMbPerSecond: 0 },
      latencyMs: { reads: 0.2 },
      counters: now,
    });
  });

  it('are unknown after a restart, and where the server does not tell', () => {
    const restarted = counters({ startedAt: new Date(AT.getTime() + 60_000), uptimeMs: 1_000 });
    expect(ratesSince(before, restarted)).toEqual({ counters: restarted });
    const silent = { host: 'h', startedAt: AT, uptimeMs: 20_000, operations: 600 };
    expect(ratesSince(before, silent)).toEqual({ opsPerSecond: 50, counters: silent });
    expect(ratesSince(before, undefined)).toEqual({});
    expect(countersOf({ uptimeMillis: 1, localTime: AT })).toBeUndefined();
  });

  it('stay what they were where two probes follow each other at once', () => {
    expect(ratesSince(before, counters({ uptimeMs: 10_500, operations: 900 }))).toEqual({
      opsPerSecond: 7,
      counters: before.counters,
    });
  });
});

describe('a probe of a server that hangs', () => {
  let folder: string;
  let server: MongodProcess;
  let nodes: NodePool;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drover-status-'));
    server = await startMongod({ name: 'a', dir: folder, oplogMb: 64 });
    nodes = new NodePool(new Map([['a', server.uri]]));
  });
  afterAll(async () => {
    await nodes.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('ends soon, also on a connection that was good, and finds it again when it goes on', async () => {
    expect(await probeByName(nodes, 'a')).toMatchObject({ reachable: true });
    server.kill('SIGSTOP');
    try {
      const startedAt = performance.now();
      expect(await probeByName(nodes, 'a')).toMatchObject({
        reachable: false,
        reason: 'node "a" did not answer within 6 s',
      });
      expect(performance.now() - startedAt).toBeLessThan(9_000);
    } finally {
      server.kill('SIGCONT');
    }
    expect(await probeByName(nodes, 'a')).toMatchObject({ reachable: true });
  });
});
