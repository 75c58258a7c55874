import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Secrets } from '../../config/index.js';
import { load, refusal } from './fixture.js';

/** Passwords with everything that URIs, JSON and regular expressions treat specially. */
const password = fc
  .string({ unit: fc.constantFrom(...'aZ09:/?#[]@!$&\'()*+,;=%"\\ .|^{}~-_é漢😀'), minLength: 4, maxLength: 20 })
  // The mask itself would be found again.
  .filter((text) => !'***'.includes(text.trim()) && text.trim().length >= 4);

const encoded = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
const fullyEncoded = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
const uriWith = (secret: string) => `mongodb://app:${encoded(secret)}@db1:27017,db2/?authSource=admin`;

const spellings = (secret: string): readonly string[] => [
  secret,
  encoded(secret),
  encoded(secret).toLowerCase() === encoded(secret) ? secret : encoded(secret).replace(/%../g, (c) => c.toLowerCase()),
  fullyEncoded(secret),
  JSON.stringify(secret).slice(1, -1),
  inspect(secret).slice(1, -1),
];

describe('Secrets', () => {
  test('masks a known password in every spelling, anywhere in a text', () => {
    fc.assert(
      fc.property(password, (secret) => {
        const secrets = new Secrets({ uris: [uriWith(secret)] });
        for (const spelling of spellings(secret)) {
          expect(secrets.redact(`<< ${spelling} >>`)).toBe('<< *** >>');
          expect(secrets.redact(`mongodb://app:${spelling}@db1/`)).not.toContain(spelling);
        }
        expect(secrets.redact(encodeURIComponent(uriWith(secret)))).not.toContain(encodeURIComponent(encoded(secret)));
      }),
      { numRuns: 500 },
    );
  });

  test('masks a password that should have been encoded and was not', () => {
    fc.assert(
      fc.property(password, (secret) => {
        const uri = `mongodb://app:${secret}@db1/`;
        expect(new Secrets({ uris: [uri] }).redact(`cannot parse ${uri}!`)).not.toContain(secret);
      }),
    );
  });

  test('masks an API key', () => {
    fc.assert(
      fc.property(password, (secret) => {
        expect(new Secrets({ values: [secret] }).redact(`Bearer ${secret}.`)).toBe('Bearer ***.');
      }),
    );
  });

  test.each([
    ['mongodb://app:hunter2@db1:27017/x', 'mongodb://***@db1:27017/x'],
    ['mongodb+srv://app:hunter2@cluster.example.net', 'mongodb+srv://***@cluster.example.net'],
    ['a mongodb://a:b@h1/ and mongodb://c:d@h2/', 'a mongodb://***@h1/ and mongodb://***@h2/'],
    ['mongodb://app:hun@ter2@db1/', 'mongodb://***@db1/'],
    ['x?u=mongodb%3A%2F%2Fapp%3Ahunter2%40db1', 'x?u=mongodb%3A%2F%2F***%40db1'],
    [
      'mongodb://db1/?authMechanismProperties=AWS_SESSION_TOKEN:abc&tlsCertificateKeyFilePassword=pw&w=1',
      'mongodb://db1/?authMechanismProperties=AWS_SESSION_TOKEN:***&tlsCertificateKeyFilePassword=***&w=1',
    ],
  ])('masks credentials that nobody told it of: %s', (text, expected) => {
    expect(new Secrets().redact(text)).toBe(expected);
  });

  test('leaves hosts, and URIs without credentials, readable', () => {
    const secrets = new Secrets({ uris: ['mongodb://db1:27017/', uriWith('hunter2')] });
    expect(secrets.redact('mongodb://db1:27017/ refused')).toBe('mongodb://db1:27017/ refused');
    expect(secrets.redact(uriWith('hunter2'))).toBe('mongodb://***@db1:27017,db2/?authSource=admin');
  });

  test('a password too short to be masked by itself is masked in URIs', () => {
    const secrets = new Secrets({ uris: ['mongodb://app:a@db1/'] });
    expect(secrets.redact('a bad mongodb://app:a@db1/')).toBe('a bad mongodb://***@db1/');
  });

  test('knows the secrets of a configuration', async () => {
    const configuration = await load('catalog: mongodb://c:catalog-pw@db/\ntemporal: { apiKey: the-key }', {
      DROVER_NODE_EU_1: 'mongodb://n:node%40pw@db/',
    });
    expect(Secrets.of(configuration).redact('catalog-pw node@pw node%40pw the-key')).toBe('*** *** *** ***');
  });
});

test('no refusal shows a password, whatever it holds and wherever it stands', async () => {
  await fc.assert(
    fc.asyncProperty(
      password,
      fc.constantFrom('mode', 'catalogDatabase', 'log', 'nodes', 'xyz'),
      async (secret, key) => {
        const yaml = `catalog: ${JSON.stringify(uriWith(secret))}\n${key}: ${JSON.stringify(secret.replaceAll('${', '$${'))}\n`;
        const message = await refusal(
          load(`${yaml}unknown: 1\n`, { DROVER_NODE_A: secret, DROVER_LOG__LEVEL: secret }),
        );
        for (const spelling of spellings(secret)) expect(message).not.toContain(spelling);
      },
    ),
    { numRuns: 100 },
  );
});
