import { CommaAndColonSeparatedRecord, ConnectionString } from 'mongodb-connection-string-url';
import type { Configuration } from './schema.js';

const MASK = '***';

/**
 * Shorter passwords are masked inside URIs only: everywhere else they would hide half of every text, and the texts
 * would tell them by what is missing.
 */
const LEAST_LENGTH = 4;

/** Up to the last `@` of the word: a password that should have been encoded may hold any of `:/?#[]@`. */
const CREDENTIALS = /(mongodb(?:\+srv)?:\/\/)\S*@/gi;
const ENCODED_CREDENTIALS = /(mongodb(?:(?:\+|%2B)srv)?%3A%2F%2F)\S*%40/gi;
const SECRET_OPTIONS =
  /((?:AWS_SESSION_TOKEN(?::|%3A)|(?:tlsCertificateKeyFilePassword|proxyPassword)(?:=|%3D)))[^&\s,"']+/gi;

/** Where secrets come from. */
export interface SecretSources {
  /** MongoDB URIs; those with credentials are secret. */
  readonly uris?: Iterable<string>;
  /** Anything else that is secret as a whole, such as an API key. */
  readonly values?: Iterable<string>;
}

/**
 * The secrets of a configuration, and their removal from texts.
 *
 * @example
 * const secrets = Secrets.of(configuration);
 * secrets.redact('cannot reach mongodb://app:hunter2@db1/'); // 'cannot reach mongodb://***@db1/'
 */
export class Secrets {
  readonly #uris: RegExp | undefined;
  readonly #values: RegExp | undefined;

  static of(configuration: Pick<Configuration, 'catalog' | 'nodeUris' | 'temporal'>): Secrets {
    const { catalog, nodeUris, temporal } = configuration;
    return new Secrets({
      uris: [catalog, ...Object.values(nodeUris)],
      values: temporal.apiKey === undefined ? [] : [temporal.apiKey],
    });
  }

  constructor({ uris = [], values = [] }: SecretSources = {}) {
    const parsed = [...uris].map((uri) => ({ uri, values: secretsIn(uri) }));
    this.#uris = anyOf(parsed.filter(({ values }) => values.length > 0).map(({ uri }) => uri));
    this.#values = anyOf([...values, ...parsed.flatMap(({ values }) => values)].filter(isLong));
  }

  /**
   * The text with every known secret masked, raw, percent-encoded or escaped as in JSON, and the credentials of every
   * MongoDB URI, known or not. Hosts and options stay readable.
   */
  redact(text: string): string {
    const uris = this.#uris ? text.replace(this.#uris, (uri) => this.#redactUri(uri)) : text;
    return maskUnknown(this.#maskValues(uris));
  }

  #redactUri(uri: string): string {
    // Encoded as a whole: nothing in it is readable anyhow.
    if (!uri.includes('://')) return MASK;
    return maskUnknown(this.#maskValues(uri.replace(/:\/\/[^]*@/, `://${MASK}@`)));
  }

  #maskValues(text: string): string {
    return this.#values ? text.replace(this.#values, MASK) : text;
  }
}

const isLong = (secret: string): boolean => secret.length >= LEAST_LENGTH;

function maskUnknown(text: string): string {
  return text
    .replace(CREDENTIALS, `$1${MASK}@`)
    .replace(ENCODED_CREDENTIALS, `$1${MASK}%40`)
    .replace(SECRET_OPTIONS, `$1${MASK}`);
}

/** Passwords and tokens in a URI, as they stand there and decoded; none when it holds no credentials. */
function secretsIn(uri: string): readonly string[] {
  // With a password that should have been encoded, the parser may see another one, or none: up to the last @, all of it.
  const [, upToLastAt] = /^[^:]*:\/\/[^:@/?#]*:([^]*)@/.exec(uri) ?? [];
  const found = [...(parsedSecrets(uri) ?? (upToLastAt === undefined ? [uri] : [])), upToLastAt ?? ''];
  return found.filter((secret) => secret !== '').flatMap((secret) => [secret, decoded(secret)]);
}

/** Undefined when the driver doesn't take the URI. */
function parsedSecrets(uri: string): readonly string[] | undefined {
  try {
    const { username, password, searchParams } = new ConnectionString(uri, { looseValidation: true });
    const mechanism = new CommaAndColonSeparatedRecord(searchParams.get('authMechanismProperties'));
    return [
      // Without a password, what stands before the @ may be a token.
      password === '' ? username : password,
      mechanism.get('AWS_SESSION_TOKEN') ?? '',
      searchParams.get('tlsCertificateKeyFilePassword') ?? '',
      searchParams.get('proxyPassword') ?? '',
    ];
  } catch {
    return undefined;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Finds any of the texts, the longest first, in any mixture of the ways to write each of its characters. */
function anyOf(texts: readonly string[]): RegExp | undefined {
  const longestFirst = [...new Set(texts)].sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return undefined;
  return new RegExp(longestFirst.map((text) => [...text].map(waysToWrite).join('')).join('|'), 'gu');
}

function waysToWrite(character: string): string {
  const ways = new Set([literal(character)]);
  const json = JSON.stringify(character).slice(1, -1);
  if (json !== character) ways.add(literal(json));
  // Quotes, slashes and backslashes, as JSON, shells and util.inspect write them.
  if (/[^\p{L}\p{N}\s]/u.test(character)) ways.add(`\\\\${literal(character)}`);
  const units = Array.from({ length: character.length }, (_, i) => hexadecimal(character.charCodeAt(i), 4));
  ways.add(units.map((unit) => `\\\\u${unit}`).join(''));
  ways.add([...Buffer.from(character, 'utf8')].map((byte) => `%${hexadecimal(byte, 2)}`).join(''));
  if (character === ' ') ways.add('\\+');
  return `(?:${[...ways].sort((a, b) => b.length - a.length).join('|')})`;
}

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

const hexadecimal = (value: number, digits: number): string =>
  value
    .toString(16)
    .padStart(digits, '0')
    .replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
