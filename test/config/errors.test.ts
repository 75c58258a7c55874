import { describe, expect, test } from 'vitest';
import { loadConfiguration } from '../../config/index.js';
import { CATALOG, directoryWith, load, problems, refusal, type Variables } from './fixture.js';

describe('a refusal names the line, what was found and what is allowed', () => {
  const policy = (text: string) => `${CATALOG}policy:\n  ${text}`;

  test.each<[what: string, yaml: string, ...expected: (string | RegExp)[]]>([
    [
      'unknown key',
      `${CATALOG}mdoe: observe`,
      /^drover.yaml:2:1: unknown key "mdoe"; did you mean mode\?; allowed are catalog, catalogDatabase, mode, /,
    ],
    [
      'unknown key in depth',
      policy('migration:\n    weigths: [1, 100]'),
      /^drover.yaml:4:5: unknown key "weigths" in policy\.migration; did you mean weights\?; allowed are concurrency, /,
    ],
    ['unknown key far from any', `${CATALOG}xylophone: 1`, /^drover.yaml:2:1: unknown key "xylophone"; allowed are /],
    [
      'enum',
      `${CATALOG}mode: automatc`,
      'drover.yaml:2:7: mode: found "automatc"; allowed are observe, recommend, automatic; did you mean automatic?',
    ],
    ['missing catalog', 'mode: observe', /^drover.yaml:1:1: catalog is missing: MongoDB URI of the catalog/],
    [
      'missing part of a node',
      `${CATALOG}nodes:\n  - name: a\n    uri: mongodb://a/`,
      /^drover.yaml:3:5: nodes\[0\]\.region is missing: Region/,
    ],
    ['empty value', `${CATALOG}mode:`, /^drover.yaml:2:\d+: mode: found nothing; allowed are/],
    [
      'text for a number',
      policy('migration: { perNode: many }'),
      'drover.yaml:3:25: policy.migration.perNode: found "many"; expected a number',
    ],
    [
      'number for text',
      `${CATALOG}temporal: { namespace: 7 }`,
      'drover.yaml:2:24: temporal.namespace: found 7; expected text',
    ],
    [
      'fraction for a whole number',
      policy('migration: { perNode: 1.5 }'),
      'drover.yaml:3:25: policy.migration.perNode: found 1.5; expected a whole number',
    ],
    [
      'text for a boolean',
      `${CATALOG}temporal: { tls: "no" }`,
      'drover.yaml:2:18: temporal.tls: found "no"; expected true or false',
    ],
    [
      'text for an object',
      `${CATALOG}temporal: localhost`,
      'drover.yaml:2:11: temporal: found text; expected an object',
    ],
    ['object for a list', `${CATALOG}nodes: { a: 1 }`, 'drover.yaml:2:8: nodes: found an object; expected a list'],
    [
      'too small',
      policy('migration: { concurrency: 0 }'),
      'drover.yaml:3:29: policy.migration.concurrency: found 0; expected 1 or more',
    ],
    [
      'too large',
      policy('plan: { trigger: 1.5 }'),
      'drover.yaml:3:20: policy.plan.trigger: found 1.5; expected 1 or less',
    ],
    [
      'at the open end',
      policy('forecast: { level: 1 }'),
      'drover.yaml:3:22: policy.forecast.level: found 1; expected less than 1',
    ],
    [
      'empty list',
      policy('forecast: { models: [] }'),
      'drover.yaml:3:23: policy.forecast.models: found a list; expected at least 1 entries',
    ],
    [
      'unknown model',
      policy('forecast: { models: [ets, oracle] }'),
      'drover.yaml:3:29: policy.forecast.models[1]: found "oracle"; allowed are seasonal-naive, level, profile, ets, mstl, arima, prophet',
    ],
    [
      'duration',
      policy('migration:\n    soak: 10 minits'),
      'drover.yaml:4:11: policy.migration.soak: found "10 minits"; expected a duration such as 30s, 10m, 1h or 7d, or a number of milliseconds',
    ],
    [
      'negative duration',
      policy('plan: { dwell: -5 }'),
      /^drover.yaml:3:18: policy\.plan\.dwell: found -5; expected a duration/,
    ],
    [
      'no duration',
      policy('access: { window: 0s }'),
      /^drover.yaml:3:21: policy\.access\.window: found "0s"; expected a duration .*, above 0$/,
    ],
    [
      'no kind of duration',
      policy('access: { window: true }'),
      /^drover.yaml:3:21: policy\.access\.window: found true; expected a duration/,
    ],
    [
      'windows that are kept for a shorter time than records',
      policy('access: { keep: { windows: 1h } }'),
      /^drover.yaml:3:.*policy\.access\.keep\.windows: must not be shorter than keep\.records/,
    ],
    [
      'hours that are kept for a shorter time than windows',
      policy('access: { keep: { hours: 1d } }'),
      /^drover.yaml:3:.*policy\.access\.keep\.hours: must not be shorter than keep\.windows/,
    ],
    [
      'weights that fall',
      policy('migration: { weights: [5, 1, 100] }'),
      /^drover.yaml:3:25: policy\.migration\.weights: weights must rise strictly to 100/,
    ],
    ['weights that end early', policy('migration: { weights: [5, 50] }'), /^drover.yaml:3:25: .*rise strictly to 100/],
    ['weights above 100', policy('migration: { weights: [5, 150, 100] }'), /^drover.yaml:3:25: .*rise strictly to 100/],
    [
      'a copy that would stand still',
      policy('migration: { maxMegabytesPerSecond: 0.000001 }'),
      /^drover.yaml:3:39: policy\.migration\.maxMegabytesPerSecond: .*expected 0, which is no limit, or at least 0\.0001$/,
    ],
    [
      'bands',
      policy('score:\n    bands: { medium: 0.9 }'),
      'drover.yaml:4:12: policy.score.bands.high: high (0.8) must be above medium (0.9)',
    ],
    [
      'node name',
      `${CATALOG}nodes: [{ name: EU_1, region: eu, uri: "mongodb://a/" }]`,
      'drover.yaml:2:17: nodes[0].name: found "EU_1"; expected lower-case letters, digits and hyphens, beginning with a letter or digit',
    ],
    [
      'node name twice',
      `${CATALOG}nodes:\n  - { name: a, region: eu, uri: "mongodb://a/" }\n  - { name: a, region: eu, uri: "mongodb://b/" }`,
      'drover.yaml:4:13: nodes[1].name: is the name of nodes[0], too',
    ],
    [
      'URI',
      'catalog: localhost:27017',
      /^drover.yaml:1:10: catalog: found a value that is not shown; expected a MongoDB URI such as/,
    ],
    [
      'time',
      `${CATALOG}clock: { startedAt: yesterday }`,
      /^drover.yaml:2:21: clock\.startedAt: found "yesterday"; expected an ISO time/,
    ],
    [
      'time without zone',
      `${CATALOG}clock: { startedAt: "2026-01-01T00:00:00" }`,
      /^drover.yaml:2:21: .*expected an ISO time with its zone/,
    ],
    ['no such day', `${CATALOG}clock: { startedAt: 2026-13-01 }`, /^drover.yaml:2:21: .*expected an ISO time/],
    [
      'clock without a start',
      `${CATALOG}clock: { rate: 60 }`,
      'drover.yaml:2:8: clock: a scaled clock needs startedAt, the same for all processes',
    ],
    ['variable', `${CATALOG}mode: \${MISSING}`, 'drover.yaml:2:7: the variable MISSING is not set'],
    [
      'second variable of a value',
      `catalog: "mongodb://\${ALSO_MISSING}/"\nmode: x\${MISSING}`,
      'drover.yaml:1:21: the variable ALSO_MISSING is not set',
      'drover.yaml:2:8: the variable MISSING is not set',
    ],
    [
      'no variable',
      `${CATALOG}temporal: { namespace: "a\${not a name}" }`,
      /^drover.yaml:2:26: not a variable: write \$\{NAME\}, or \$\$\{/,
    ],
    ['list as a whole', '- catalog: x', 'drover.yaml:1:1: the configuration: found a list; expected an object'],
    ['YAML', 'catalog: "mongodb://localhost', /^drover.yaml:1:\d+: not valid YAML: something is missing here/],
    [
      'key twice',
      `${CATALOG}mode: observe\nmode: observe`,
      'drover.yaml:3:1: not valid YAML: this key stands here twice',
    ],
    ['alias', `${CATALOG}temporal:\n  apiKey: *secret`, /^drover.yaml:3:11: not valid YAML: an alias/],
    ['tag', `${CATALOG}temporal:\n  apiKey: !secret`, /^drover.yaml:3:11: not valid YAML: a tag/],
    ['indentation', `${CATALOG}policy:\n\tplan: {}`, /^drover.yaml:3:1: not valid YAML: a tab/],
    ['two documents', `${CATALOG}---\n${CATALOG}`, /not valid YAML: one file holds one document/],
  ])('%s', async (_what, yaml, ...expected) => {
    const found = await problems(load(yaml));
    expect(found).toHaveLength(expected.length);
    expected.forEach((each, i) =>
      typeof each === 'string' ? expect(found[i]).toBe(each) : expect(found[i]).toMatch(each),
    );
  });

  test('all problems come at once, in the order of the file, those of the environment after them', async () => {
    const yaml = [
      'mode: auto',
      'nodes:',
      '  - { name: a, region: eu, uri: "mongodb://a/" }',
      '  - { name: a, uri: "mongodb://a/" }',
      'policy: { plan: { trigger: 2, dwel: 1s } }',
    ].join('\n');
    const found = await problems(load(yaml, { DROVER_LOG__LEVEL: 'loud', DROVER_POLICY__PLANS: '1' }));
    expect(found.map((line) => line.split(': ')[0])).toEqual([
      'drover.yaml:1:1',
      'drover.yaml:1:7',
      'drover.yaml:4:5',
      'drover.yaml:4:13',
      'drover.yaml:5:28',
      'drover.yaml:5:31',
      'DROVER_POLICY__PLANS',
      'DROVER_LOG__LEVEL',
    ]);
  });
});

describe('a refused variable is named', () => {
  test.each<[name: string, value: string, expected: RegExp]>([
    ['DROVER_MODE', 'auto', /^DROVER_MODE: mode: found "auto"; allowed are observe/],
    [
      'DROVER_POLICY__MIGRATION__SOAK',
      'long',
      /^DROVER_POLICY__MIGRATION__SOAK: policy\.migration\.soak: found "long"; expected a dur/,
    ],
    [
      'DROVER_POLICY__MIGRATION__SOKA',
      '1s',
      /^DROVER_POLICY__MIGRATION__SOKA: there is no such value; did you mean DROVER_POLICY__MIGRATION__SOAK\?; after DROVER_POLICY__MIGRATION__ may come CONCURRENCY, /,
    ],
    ['DROVER_POLICY__MIGRATION__SOAK__X', '1s', /DROVER_POLICY__MIGRATION__SOAK has no parts/],
    ['DROVER_CLOCK__RAET', '1', /did you mean DROVER_CLOCK__RATE\?/],
    ['DROVER_NODES__7__REGION', 'eu', /^DROVER_NODES__7__REGION: there is no such value/],
    ['DROVER_POLICY__MIGRATION__WEIGHTS', '[1, 100', /not valid YAML or JSON; expected a list/],
    ['DROVER_POLICY__MIGRATION__WEIGHTS', '[100, 1]', /^DROVER_POLICY__MIGRATION__WEIGHTS: .*rise strictly/],
    ['DROVER_POLICY__PLAN', '{ trigger: 2 }', /^DROVER_POLICY__PLAN: policy\.plan\.trigger: found 2/],
    [
      'DROVER_POLICY__PLAN',
      '{ triger: 1 }',
      /^DROVER_POLICY__PLAN: unknown key "triger" in policy\.plan; did you mean trigger/,
    ],
    [
      'DROVER_POLICY__SCORE__BANDS__MEDIUM',
      '0.9',
      /^DROVER_POLICY__SCORE__BANDS__MEDIUM: .*must be above medium \(0\.9\)/,
    ],
    ['DROVER_NODE_A', 'nonsense', /^DROVER_NODE_A: expected a MongoDB URI/],
    ['DROVER_NODE__A', 'mongodb://a/', /^DROVER_NODE__A: not the name of a node/],
    ['DROVER_CATALOG_URI', 'nonsense', /^DROVER_CATALOG_URI: catalog: found a value that is not shown/],
  ])('%s=%s', async (name, value, expected) => {
    const found = await problems(load(CATALOG, { [name]: value }));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
  });

  test('a value from a variable in the file is named and not shown', async () => {
    const found = await problems(load(`${CATALOG}mode: \${MODE}`, { MODE: 'hunter2' }));
    expect(found[0]).toMatch(/^drover.yaml:2:7: mode: found the value of "\$\{MODE\}"; allowed/);
  });

  test('with the file beside that of `drover up`, when it stands there', async () => {
    const cwd = await directoryWith({
      '.drover/drover.yaml': CATALOG,
      '.drover/env': 'DROVER_MODE=auto\nnonsense\n',
    });
    const found = await problems(loadConfiguration({ cwd, env: {} }));
    expect(found[0]).toBe('.drover/env:2:1: expected NAME=VALUE');
    expect(found[1]).toMatch(/^DROVER_MODE \(\.drover\/env:1\): mode: found "auto"/);
  });
});

describe('a refusal never shows a secret', () => {
  const secret = 'hunter2';
  const uri = `mongodb://app:${secret}@db/`;

  test.each<[what: string, yaml: string, env?: Variables]>([
    ['a URI that is none', `catalog: mongo://app:${secret}@db/`],
    ['a URI with a raw password', `catalog: mongodb://app:p@${secret}/x@db/`],
    ['a URI in another place', `${CATALOG}mode: ${uri}`],
    ['a URI as a key', `${CATALOG}? ${uri}\n: 1`],
    ['a URI as the key of a type', `${CATALOG}policy: { score: { perType: { "${uri}": { x: 1 } } } }`],
    ['a URI as the name of a node', `${CATALOG}nodes: [{ name: "${uri}", region: a, uri: "${uri}" }]`],
    ['a password in another place', `catalog: ${uri}\nmode: ${secret}`],
    ['a variable in another place', `${CATALOG}mode: \${PW}`, { PW: secret }],
    ['an API key that is no text', `${CATALOG}temporal: { apiKey: [${secret}] }`],
    ['credentials for something else', `${CATALOG}mode: https://app:${secret}@example.net/`],
    ['a list of nodes that is not YAML', CATALOG, { DROVER_NODES: `[{ uri: "${uri}` }],
    ['a list of nodes that is text', CATALOG, { DROVER_NODES: uri }],
    ['a URI that is no value', CATALOG, { DROVER_MODE: uri }],
    ['a node URI that is none', CATALOG, { DROVER_NODE_A: `x${uri}` }],
    ['an alias', `${CATALOG}temporal: { apiKey: *${secret} }`],
    ['a tag', `${CATALOG}temporal: { apiKey: !${secret} }`],
    ['an unfinished text', `catalog: "${uri}\nmode: observe`],
    ['an escape', `catalog: "mongodb://app:${secret}\\q@db/"`],
    ['an escape in text', `temporal:\n  apiKey: "${secret}" ${secret}\n${CATALOG}`],
  ])('%s', async (_what, yaml, env) => {
    expect(await refusal(load(yaml, env))).not.toContain(secret);
  });

  test('an API key of digits, which YAML reads as a number', async () => {
    expect(await problems(load(`${CATALOG}temporal: { apiKey: 4711081500 }`))).toEqual([
      'drover.yaml:2:21: temporal.apiKey: found a value that is not shown; expected text',
    ]);
  });
});
