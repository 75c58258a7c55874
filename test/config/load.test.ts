import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfiguration } from '../../config/index.js';
import { CATALOG, directoryWith, load, refusal } from './fixture.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('defaults', () => {
  test('everything but the catalog has one', async () => {
    expect(await load(CATALOG)).toEqual({
      catalog: 'mongodb://localhost:27017/',
      catalogDatabase: 'drover',
      mode: 'recommend',
      temporal: { address: 'localhost:7233', namespace: 'default' },
      nodes: [],
      nodeUris: {},
      policy: {
        access: { window: 5 * MINUTE, flush: SECOND, keep: { records: 2 * HOUR, windows: 7 * DAY, hours: 90 * DAY } },
        score: {
          weights: { frequency: 1, affinity: 0.5, modification: 0.25 },
          bands: { high: 0.8, medium: 0.4 },
          perType: {},
          types: {},
        },
        forecast: {
          every: 5 * MINUTE,
          window: 5 * MINUTE,
          history: 7 * DAY,
          horizon: HOUR,
          season: [DAY],
          level: 0.8,
          models: ['seasonal-naive', 'level', 'profile', 'ets', 'mstl'],
        },
        plan: {
          trigger: 0.4,
          minimumGain: 0.2,
          minimumRequests: 50,
          dwell: 30 * MINUTE,
          maxMovesPerHour: 20,
          maxNodeLoad: 0.8,
        },
        migration: {
          concurrency: 2,
          perNode: 2,
          weights: [1, 5, 25, 50, 100],
          dwell: 30 * SECOND,
          soak: 10 * MINUTE,
          maxMegabytesPerSecond: 0,
          maxDocumentsPerSecond: 0,
          stepTimeout: 500,
          secondaryIndexes: 'after',
          onDefinitionChange: 'copy',
          watchWriters: 3_000,
          rollbackWhen: {
            minimumRequests: 50,
            errorRate: 0.05,
            latencyFactor: 5,
            latency: 250,
            lag: 30 * SECOND,
          },
        },
        anomalies: { every: 5 * MINUTE, history: 28 * DAY, coolDown: 30 * MINUTE },
        decisions: { expireAfter: HOUR },
      },
      clock: { rate: 1 },
      log: { level: 'info' },
    });
  });

  test('the window of forecasts is the window of access history', async () => {
    const { policy } = await load(`${CATALOG}policy: { access: { window: 1m } }`);
    expect(policy.forecast.window).toBe(MINUTE);
  });

  test('access history is kept for so many windows, unless a time is said', async () => {
    const { policy } = await load(`${CATALOG}policy: { access: { window: 10s, keep: { windows: 1d } } }`);
    expect(policy.access.keep).toEqual({ records: 4 * MINUTE, windows: DAY, hours: 3 * DAY });
  });

  test('a partition type takes the weights it does not name from the common ones', async () => {
    const { policy } = await load(
      `${CATALOG}policy: { score: { weights: { affinity: 3 }, perType: { cold: { frequency: 7 } } } }`,
    );
    expect(policy.score.perType).toEqual({ cold: { frequency: 7, affinity: 3, modification: 0.25 } });
  });

  test.each([
    ['250', 250],
    ['"250"', 250],
    ['1.5s', 1500],
    ['90 seconds', 90 * SECOND],
    ['2w', 14 * DAY],
    ['0', 0],
  ])('a soak of %s is %i ms', async (written, milliseconds) => {
    const { policy } = await load(`${CATALOG}policy:\n  migration:\n    soak: ${written}`);
    expect(policy.migration.soak).toBe(milliseconds);
  });
});

describe('substitution', () => {
  test('the documented example: variables in flow and block style', async () => {
    const configuration = await load(
      [
        'catalog: ${DROVER_CATALOG_URI}',
        'mode: recommend            # observe | recommend | automatic',
        'temporal: { address: localhost:7233, namespace: default }',
        'nodes:',
        '  - { name: us-1, region: us-east, uri: ${DROVER_NODE_US_1}, capacity: { opsPerSecond: 5000, storageGb: 200 } }',
        '  - { name: eu-1, region: eu-west, uri: ${DROVER_NODE_EU_1} }',
      ].join('\n'),
      {
        DROVER_CATALOG_URI: 'mongodb://catalog/',
        DROVER_NODE_US_1: 'mongodb://us/',
        DROVER_NODE_EU_1: 'mongodb://eu/',
      },
    );
    expect(configuration.catalog).toBe('mongodb://catalog/');
    expect(configuration.nodes[0]).toEqual({
      name: 'us-1',
      region: 'us-east',
      uri: 'mongodb://us/',
      capacity: { opsPerSecond: 5000, storageGb: 200 },
    });
    expect(configuration.nodeUris).toEqual({ 'us-1': 'mongodb://us/', 'eu-1': 'mongodb://eu/' });
  });

  test('a variable becomes the number, boolean or text that belongs there', async () => {
    const { policy, temporal } = await load(
      `${CATALOG}temporal: { apiKey: "\${KEY}", tls: \${TLS} }\n` +
        'policy: { migration: { perNode: ${N}, soak: ${N}m, weights: [${N}, 100] } }',
      { N: '7', TLS: 'true', KEY: '12345' },
    );
    expect(temporal).toMatchObject({ apiKey: '12345', tls: true });
    expect(policy.migration).toMatchObject({ perNode: 7, soak: 7 * MINUTE, weights: [7, 100] });
  });

  test('$${ stands for the characters themselves', async () => {
    const { temporal } = await load(`${CATALOG}temporal: { apiKey: a$\${B}c$\${ , namespace: 'x$\${Y}' }`);
    expect(temporal).toMatchObject({ apiKey: 'a${B}c${', namespace: 'x${Y}' });
  });

  test('what a variable holds is never YAML, and never substituted again', async () => {
    const { temporal } = await load(`${CATALOG}temporal: { namespace: \${A} }`, { A: 'x, tls: true } # ${B}' });
    expect(temporal.namespace).toBe('x, tls: true } # ${B}');
  });

  test('comments may name variables that are not set', async () => {
    await expect(load(`# \${MISSING}\n${CATALOG}`)).resolves.toBeDefined();
  });
});

describe('overrides', () => {
  const file = [
    CATALOG,
    'nodes:',
    '  - { name: eu-1, region: eu, uri: mongodb://eu/ }',
    '  - { name: us-1, region: us }',
    'policy: { score: { perType: { cold: { frequency: 2 } } } }',
  ].join('\n');
  const nodes = { DROVER_NODE_US_1: 'mongodb://us/' };

  test.each([
    ['DROVER_CATALOG_URI', 'mongodb://other/', 'catalog', 'mongodb://other/'],
    ['DROVER_CATALOG', 'mongodb://other/', 'catalog', 'mongodb://other/'],
    ['DROVER_CATALOG_DATABASE', 'ranch', 'catalogDatabase', 'ranch'],
    ['DROVER_MODE', 'automatic', 'mode', 'automatic'],
    ['DROVER_TEMPORAL__ADDRESS', 'temporal:7233', 'temporal.address', 'temporal:7233'],
    ['DROVER_TEMPORAL__TLS', 'true', 'temporal.tls', true],
    ['TEMPORAL_ADDRESS', 'temporal:7233', 'temporal.address', 'temporal:7233'],
    ['TEMPORAL_NAMESPACE', 'ranch', 'temporal.namespace', 'ranch'],
    ['TEMPORAL_API_KEY', '0123', 'temporal.apiKey', '0123'],
    ['DROVER_POLICY__MIGRATION__SOAK', '2m', 'policy.migration.soak', 2 * MINUTE],
    ['DROVER_POLICY__MIGRATION__MAX_MEGABYTES_PER_SECOND', '12.5', 'policy.migration.maxMegabytesPerSecond', 12.5],
    ['DROVER_TEMPORAL__TLS', 'false', 'temporal.tls', false],
    ['DROVER_POLICY__MIGRATION__WEIGHTS', '[10, 100]', 'policy.migration.weights', [10, 100]],
    ['DROVER_POLICY__FORECAST__SEASON', '[1d, 7d]', 'policy.forecast.season', [DAY, 7 * DAY]],
    ['DROVER_POLICY__SCORE__BANDS', '{"high": 0.9, "medium": 0.1}', 'policy.score.bands', { high: 0.9, medium: 0.1 }],
    ['DROVER_POLICY__SCORE__PER_TYPE__COLD__FREQUENCY', '4', 'policy.score.perType.cold.frequency', 4],
    ['DROVER_POLICY__SCORE__PER_TYPE__VERY_HOT__AFFINITY', '4', 'policy.score.perType.very-hot.affinity', 4],
    ['DROVER_NODES__0__REGION', 'asia', 'nodes[0].region', 'asia'],
    ['DROVER_NODES__US_1__REGION', 'asia', 'nodes[1].region', 'asia'],
    ['DROVER_NODES', '[{name: x, region: y, uri: "mongodb://z/"}]', 'nodes[0].uri', 'mongodb://z/'],
    ['DROVER_NODE_EU_1', 'mongodb://other/', 'nodes[0].uri', 'mongodb://other/'],
    ['DROVER_NODE_EU_1', 'mongodb://other/', 'nodeUris.eu-1', 'mongodb://other/'],
    ['DROVER_NODE_ASIA_1', 'mongodb://asia/', 'nodeUris.asia-1', 'mongodb://asia/'],
    ['DROVER_CLOCK', '{ startedAt: 2026-01-01, rate: 2 }', 'clock.rate', 2],
    ['DROVER_LOG__LEVEL', 'debug', 'log.level', 'debug'],
  ])('%s=%s', async (name, value, path, expected) => {
    expect(await load(file, { ...nodes, [name]: value })).toHaveProperty(path, expected);
  });

  test('a smaller part beats a larger one, and the path beats the well-known name', async () => {
    const configuration = await load(CATALOG, {
      DROVER_POLICY__MIGRATION__SOAK: '2m',
      DROVER_POLICY: '{ migration: { soak: 1m, dwell: 1m } }',
      TEMPORAL_ADDRESS: 'a:1',
      DROVER_TEMPORAL__ADDRESS: 'b:2',
    });
    expect(configuration.policy.migration).toMatchObject({ soak: 2 * MINUTE, dwell: MINUTE });
    expect(configuration.temporal.address).toBe('b:2');
  });

  test('an override of a part that aliases share changes that part only', async () => {
    const { policy } = await load(`${CATALOG}policy: { score: { perType: { a: &w { frequency: 2 }, b: *w } } }`, {
      DROVER_POLICY__SCORE__PER_TYPE__A__FREQUENCY: '9',
    });
    expect([policy.score.perType['a']?.frequency, policy.score.perType['b']?.frequency]).toEqual([9, 2]);
  });

  test('empty, reserved and foreign variables are left alone', async () => {
    const plain = await load(CATALOG);
    const variables = {
      DROVER_MODE: '',
      DROVER_CACHE: '/c',
      DROVER_MONGOD: '/m',
      DROVER_TEMPORAL: '/usr/bin/temporal',
      DROVER_TEMPORAL_TEST_SERVER: '/t',
      DROVER_CLOCK_FILE: '/x',
      DROVER_NODE_1_SERVICE_HOST: '10.0.0.1',
      DROVER_NODE_1_PORT_27017_TCP: 'tcp://10.0.0.1:27017',
      DROVER_SOMETHING: 'else',
    };
    expect(await load(CATALOG, variables)).toEqual(plain);
  });
});

describe('the file', () => {
  const named = (name: string) => `${CATALOG}temporal: { namespace: ${name} }`;
  const namespaceOf = async (options: Parameters<typeof loadConfiguration>[0]) =>
    (await loadConfiguration(options)).temporal.namespace;

  test('is the one asked for, then that of DROVER_CONFIG, then drover.yaml, then that of `drover up`', async () => {
    const cwd = await directoryWith({
      'asked.yaml': named('asked'),
      'variable.yaml': named('variable'),
      'drover.yaml': named('usual'),
      '.drover/drover.yaml': named('up'),
    });
    const env = { DROVER_CONFIG: 'variable.yaml' };
    expect(await namespaceOf({ cwd, env, path: 'asked.yaml' })).toBe('asked');
    expect(await namespaceOf({ cwd, env })).toBe('variable');
    expect(await namespaceOf({ cwd, env: {} })).toBe('usual');
    expect(await namespaceOf({ cwd: await directoryWith({ '.drover/drover.yaml': named('up') }), env: {} })).toBe('up');
  });

  test('of `drover up` takes the variables that the environment lacks from the file beside it', async () => {
    const cwd = await directoryWith({
      '.drover/drover.yaml': 'catalog: ${DROVER_CATALOG_URI}\ntemporal: { namespace: "${SPACE}" }',
      '.drover/env':
        '# written by drover up\nDROVER_CATALOG_URI="mongodb://up/?a=b#c"\n\nexport SPACE=up\nDROVER_MODE=observe\n',
    });
    const configuration = await loadConfiguration({ cwd, env: { SPACE: 'mine' } });
    expect(configuration).toMatchObject({
      catalog: 'mongodb://up/?a=b#c',
      temporal: { namespace: 'mine' },
      mode: 'observe',
    });
  });

  test('may be missing when the environment names the catalog', async () => {
    const cwd = await directoryWith({});
    const env = { DROVER_CATALOG_URI: 'mongodb://c/', DROVER_MODE: 'observe', DROVER_NODE_A: 'mongodb://a/' };
    expect(await loadConfiguration({ cwd, env })).toMatchObject({
      catalog: 'mongodb://c/',
      mode: 'observe',
      nodes: [],
      nodeUris: { a: 'mongodb://a/' },
    });
  });

  test('is missed with advice', async () => {
    const cwd = await directoryWith({});
    const message = await refusal(loadConfiguration({ cwd, env: {} }));
    for (const advice of ['drover.yaml', 'drover up', '--config', 'DROVER_CONFIG', 'DROVER_CATALOG_URI', cwd]) {
      expect(message).toContain(advice);
    }
    expect(await refusal(loadConfiguration({ cwd, env: {}, path: 'x.yaml' }))).toContain(join(cwd, 'x.yaml'));
    expect(await refusal(loadConfiguration({ cwd, env: { DROVER_CONFIG: 'y.yaml' } }))).toMatch(
      /y\.yaml \(named by DROVER_CONFIG\)/,
    );
    expect(await refusal(loadConfiguration({ cwd, env: {}, path: '.' }))).toContain('EISDIR');
  });
});
