import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readClusterEnvironment } from '../../temporal-config/dev-cluster.js';
import type { Shell } from './harness.js';
import { passwordsOf, shell } from './harness.js';

describe('servers for development', () => {
  let the: Shell;
  beforeAll(async () => {
    the = await shell();
  });
  afterAll(async () => {
    await the.drover('down', '--purge');
    await rm(the.folder, { recursive: true, force: true });
  });

  it('starts them, knows its nodes, finds them from here, and removes them', async () => {
    const started = await the.drover('up', '--nodes', 'us-1:us-east,eu-1:eu-west', '--json');
    expect(started.exitCode).toBe(0);
    const cluster = started.json<{ config: string; workers: object[] }>();
    expect(cluster).toMatchObject({ catalog: { presence: 'started' }, nodes: [{ name: 'us-1' }, { name: 'eu-1' }] });
    expect(cluster.workers).toHaveLength(1);
    the.secrets.push(...passwordsOf(await readClusterEnvironment(join(the.folder, '.drover'))));

    const again = await the.drover('up');
    expect(again.stdout).toMatch(/node us-1 +us-east +running/);
    expect(again.stdout).toContain('npx drover keyspace create');
    const { nodes } = (await the.drover('node', 'list', '--json')).json<{ nodes: object[] }>();
    expect(nodes).toMatchObject([
      { name: 'eu-1', region: 'eu-west' },
      { name: 'us-1', region: 'us-east' },
    ]);

    const stopped = await the.drover('down', '--purge', '--json');
    expect(stopped.json()).toMatchObject({
      stopped: ['worker', 'temporal', 'catalog', 'nodes/eu-1', 'nodes/us-1'],
      purged: true,
    });
    expect((await the.drover('down')).stdout).toContain('Nothing was running');
    expect((await the.drover('down', '--purge')).exitCode).toBe(3);
  });
});
