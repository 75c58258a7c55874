import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Shell } from './harness.js';
import { shell } from './harness.js';

/** What can be told without any server. */
describe('the command line by itself', () => {
  let the: Shell;
  beforeAll(async () => {
    the = await shell();
  });

  it('shows its commands on request', async () => {
    const { exitCode, stdout, stderr } = await the.drover('--help');
    expect(exitCode).toBe(0);
    expect(stderr).toBe('');
    for (const command of ['up', 'migrate', 'migration', 'decision', 'stop']) expect(stdout).toContain(`  ${command}`);
    expect((await the.drover('migrate', '--help')).stdout).toContain('--approve-cutover');
  });

  it.each([
    [[], /a command is missing/],
    [['node'], /a command is missing/],
    [['nod', 'list'], /unknown command 'nod'.*Did you mean node/],
    [['migrate', 'shop.orders', 'p1'], /required option '--to <node>'/],
    [['migrate', 'shop.orders', '--to', 'eu-1'], /missing required argument 'partition'/],
    [['migrate', 'a.b', 'p1', '--to', 'eu-1', '--weights', '5,x'], /percentages with commas/],
    [['migrate', 'a.b', 'p1', '--to', 'eu-1', '--dwell', 'soon'], /length of time, such as 30s/],
    [['migrate', 'a.b', 'p1', '--to', 'eu-1', '--max-mbps', '-1'], /0 or more/],
    [['migrate', 'a.b', 'p1', '--to', 'eu-1', '--max-docs', '0.001'], /0.01 or more, or 0 for no limit/],
    [['migrate', 'a.b', 'p1', '--to', 'eu-1', '--max-mbps', '0.000001'], /0.0001 or more, or 0 for no limit/],
    [['keyspace', 'create', 'a.b', '--key', 'k', '--partitions', '0'], /whole number above 0/],
    [['worker', '--queues', 'control,bulk'], /control, data/],
    [['up', '--nodes', 'us-1'], /us-1:us-east/],
    [['decisions', '--state', 'gone'], /Allowed choices are observed/],
  ])('takes %j for wrong use', async (args, sentence) => {
    const { exitCode, stderr } = await the.drover(...args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(sentence);
  });

  it('puts complaints about use into JSON, too', async () => {
    const outcome = await the.drover('nod', '--json');
    expect(outcome.exitCode).toBe(2);
    expect(outcome.json()).toEqual({
      error: { code: 'InvalidRequest', message: expect.stringContaining("unknown command 'nod'") as string },
    });
  });

  it('says what to do where there is no configuration', async () => {
    const outcome = await the.drover('node', 'list');
    expect(outcome.exitCode).toBe(2);
    expect(outcome.stdout).toBe('');
    expect(outcome.stderr).toContain('npx drover up');
    expect((await the.drover('node', 'list', '--config', 'elsewhere.yaml')).stderr).toContain('elsewhere.yaml');
  });

  it('names every problem of a configuration, and no password', async () => {
    const own = await shell();
    own.secrets.push('hunter2');
    await writeFile(join(own.folder, 'drover.yaml'), 'catalog: ${DROVER_CATALOG}\nmoed: observe\n');
    const outcome = await own.drover('policy', 'show', '--json');
    expect(outcome.exitCode).toBe(2);
    expect(outcome.json()).toMatchObject({ error: { code: 'InvalidConfiguration' } });
    expect(outcome.stderr).toContain('drover.yaml:1');
    expect(outcome.stderr).toContain('did you mean mode?');
  });

  it('fails without a stack trace, and without the password, when a server is not there', async () => {
    const own = await shell({ DROVER_CATALOG_URI: 'mongodb://app:hunter2@127.0.0.1:1/?replicaSet=x' });
    own.secrets.push('hunter2');
    const outcome = await own.drover('node', 'list', '--json');
    expect(outcome.exitCode).toBe(1);
    expect(outcome.json()).toMatchObject({ error: { code: 'Unavailable' } });
    expect(outcome.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('shows the policy in effect as drover.yaml would have it, and in milliseconds to machines', async () => {
    const own = await shell({
      DROVER_CATALOG_URI: 'mongodb://127.0.0.1:1/',
      DROVER_POLICY__MIGRATION__SOAK: '90m',
    });
    expect((await own.drover('policy', 'show')).stdout).toMatch(/soak: 90m/);
    const shown = (await own.drover('policy', 'show', '--json')).json<{ policy: { migration: object } }>();
    expect(shown).toMatchObject({ mode: 'recommend', policy: { migration: { soak: 5_400_000, dwell: 30_000 } } });
  });
});
