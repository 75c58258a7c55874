import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import type { ReplayWorkerOptions } from '@temporalio/worker';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, describe, expect, it } from 'vitest';
import { workflowBundle } from '../../workers/bundle.js';

/** This runs compiled; the histories stand beside the source. */
const FOLDER = fileURLToPath(new URL('../../../test/histories/', import.meta.url));
const COMPILED_WORKFLOWS = fileURLToPath(new URL('../../workflows/', import.meta.url));
/** Workflows that were changed. Copies are made here: at the same depth as this file, so that their imports can be found. */
const COPIES = fileURLToPath(new URL('./incompatible/', import.meta.url));

interface Recorded {
  readonly name: string;
  readonly json: string;
}

const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.json')).sort();
const recorded = await Promise.all(
  files.map(async (file): Promise<Recorded> => ({
    name: file.replace('.json', ''),
    json: await readFile(join(FOLDER, file), 'utf8'),
  })),
);
const completed = () => recorded.find(({ name }) => name === 'migration-completed')!;

/** What replaying says about each history: nothing, or what is wrong. */
async function replay(histories: readonly Recorded[], options: ReplayWorkerOptions): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const all = histories.map(({ name, json }) => ({ workflowId: name, history: historyFromJSON(JSON.parse(json)) }));
  for await (const { workflowId, error } of Worker.runReplayHistories(options, all)) found[workflowId] = error;
  return found;
}

/** The workflows with a changed migration. */
async function bundleWith(change: (migration: string) => string, name: string): Promise<ReplayWorkerOptions> {
  const original = await readFile(join(COMPILED_WORKFLOWS, 'migration.js'), 'utf8');
  const workflowsPath = join(COPIES, `${name}.js`);
  await mkdir(COPIES, { recursive: true });
  await writeFile(workflowsPath, change(original).replaceAll("from './", "from '../../../workflows/"));
  return bundle(workflowsPath);
}

async function bundle(workflowsPath: string): Promise<ReplayWorkerOptions> {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
  return { workflowBundle: { code } };
}

const exchange = (text: string, a: string, b: string): string => {
  expect(text.split(a), `"${a}" stands once`).toHaveLength(2);
  expect(text.split(b), `"${b}" stands once`).toHaveLength(2);
  return text.replace(a, '\u0000').replace(b, a).replace('\u0000', b);
};

beforeAll(() => {
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { filter: 'OFF' } },
  });
});

describe('recorded histories', () => {
  it('tell these stories, at least', () => {
    expect(recorded.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'admission',
        'decision-approved',
        'forecast-recommending',
        'migration-by-forecast',
        'migration-cancelled',
        'migration-completed',
        'migration-rolled-back',
        'migration-steered',
      ]),
    );
  });

  it('can be continued by the present code', async () => {
    const found = await replay(recorded, { workflowBundle: await workflowBundle() });
    expect(found).toEqual(Object.fromEntries(recorded.map(({ name }) => [name, undefined])));
  });

  it('name no machine and no secret', () => {
    const telling: string[] = [];
    for (const { name, json } of recorded) {
      const payloads = [...json.matchAll(/"data":\s*"([^"]*)"/g)].map(([, data]) =>
        Buffer.from(data!, 'base64').toString(),
      );
      for (const text of [json, ...payloads]) {
        const found = /mongodb(\+srv)?:\/\/|\d@[\w-]+|\/(home|root|work|tmp|Users)\//.exec(text);
        if (found !== null) telling.push(`${name}: ${found[0]}`);
      }
    }
    expect(telling).toEqual([]);
  });
});

describe('an incompatible change', () => {
  it('of nothing is none: the copy of the workflow is as good as the original', async () => {
    const options = await bundleWith((migration) => migration, 'unchanged');
    expect(await replay([completed()], options)).toEqual({ 'migration-completed': undefined });
  });

  it('is found when two steps are exchanged', async () => {
    const options = await bundleWith(
      (migration) =>
        exchange(
          migration,
          'data.catchUp(replicate)',
          'data.verify(await phase(steering, move, MigrationPhase.verify))',
        ),
      'exchanged',
    );
    const found = await replay([completed()], options);
    expect(found['migration-completed']).toBeInstanceOf(DeterminismViolationError);
  });

  it('is found when a step is left out', async () => {
    const options = await bundleWith((migration) => {
      expect(migration).toContain('await data.catchUp(replicate);');
      return migration.replace('await data.catchUp(replicate);', '');
    }, 'left-out');
    const found = await replay([completed()], options);
    expect(found['migration-completed']).toBeInstanceOf(DeterminismViolationError);
  });

  it('is found when a step is put in front', async () => {
    const options = await bundle(join(COPIES, 'index.js'));
    const found = await replay([completed()], options);
    expect(found['migration-completed']).toBeInstanceOf(DeterminismViolationError);
  });

  it('is found when a history has another activity than the code', async () => {
    const { name, json } = completed();
    const renamed = json.replaceAll('"name": "backfill"', '"name": "copyEverything"');
    expect(renamed).not.toBe(json);
    const found = await replay([{ name, json: renamed }], { workflowBundle: await workflowBundle() });
    expect(found[name]).toBeInstanceOf(DeterminismViolationError);
  });
});
