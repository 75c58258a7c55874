import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { configurationJsonSchema } from '../../config/index.js';
import { CATALOG, load } from './fixture.js';

type JsonSchema = ReturnType<typeof configurationJsonSchema>;

test('config/schema.json is up to date (see config/json-schema.ts for the command that writes it)', async () => {
  const checkedIn: unknown = JSON.parse(await readFile(new URL('../../config/schema.json', import.meta.url), 'utf8'));
  expect(checkedIn).toEqual(configurationJsonSchema());
});

describe('the JSON schema', () => {
  const validator = z.fromJSONSchema(configurationJsonSchema());
  const accepts = (yaml: string) => validator.safeParse(parse(yaml)).success;

  test.each([
    ['the least', CATALOG],
    [
      'nodes and durations',
      `${CATALOG}nodes: [{ name: a, region: eu, uri: "mongodb://a/" }]\npolicy: { migration: { soak: 10m, dwell: 5, weights: [5, 100] } }`,
    ],
    ['types', `${CATALOG}policy: { score: { perType: { cold: { frequency: 1 } } } }`],
    ['clock', `${CATALOG}clock: { from: 2013-01-01, startedAt: 2026-01-01T00:00:00Z, rate: 60 }`],
  ])('accepts what the reader accepts: %s', async (_what, yaml) => {
    await expect(load(yaml)).resolves.toBeDefined();
    expect(accepts(yaml)).toBe(true);
  });

  test.each([
    ['unknown key', `${CATALOG}mdoe: observe`],
    ['unknown key in depth', `${CATALOG}policy: { plan: { dwel: 1s } }`],
    ['enum', `${CATALOG}mode: auto`],
    ['duration', `${CATALOG}policy: { migration: { soak: 10 minits } }`],
    ['range', `${CATALOG}policy: { plan: { trigger: 2 } }`],
    ['missing region', `${CATALOG}nodes: [{ name: a, uri: "mongodb://a/" }]`],
    ['name', `${CATALOG}nodes: [{ name: A, region: eu, uri: "mongodb://a/" }]`],
  ])('refuses what the reader refuses: %s', async (_what, yaml) => {
    await expect(load(yaml)).rejects.toThrow();
    expect(accepts(yaml)).toBe(false);
  });

  test('accepts variables in place of any scalar', async () => {
    const yaml = [
      'catalog: ${URI}',
      'mode: ${MODE}',
      'nodes:',
      '  - name: ${NAME}',
      '    region: ${NAME}',
      '    capacity: { opsPerSecond: "${N}", storageGb: "${N}" }',
      'temporal: { tls: "${TRUE}" }',
      'policy: { migration: { soak: "${N}m", weights: ["${N}", 100] } }',
      'clock: { startedAt: "${TIME}" }',
    ].join('\n');
    const env = { URI: 'mongodb://c/', MODE: 'observe', NAME: 'a', N: '5', TRUE: 'true', TIME: '2026-01-01' };
    await expect(load(yaml, { ...env, DROVER_NODE_A: 'mongodb://a/' })).resolves.toBeDefined();
    expect(accepts(yaml)).toBe(true);
  });

  test('describes every key', () => {
    const undescribed: string[] = [];
    const visit = (schema: JsonSchema, path: string): void => {
      for (const [key, property] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)) {
        if (!property.description) undescribed.push(`${path}${key}`);
        visit(property, `${path}${key}.`);
      }
      if (typeof schema.items === 'object') visit(schema.items as JsonSchema, `${path}[].`);
      if (typeof schema.additionalProperties === 'object') visit(schema.additionalProperties, `${path}*.`);
    };
    visit(configurationJsonSchema(), '');
    expect(undescribed).toEqual([]);
  });
});
