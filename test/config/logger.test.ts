import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createLogger, Secrets, type LogLevel } from '../../config/index.js';
import { DroverError } from '../../domain/errors.js';

const secret = 'p@ss"w\\rd';
const uri = `mongodb://app:${encodeURIComponent(secret)}@db1/`;
const secrets = new Secrets({ uris: [uri], values: ['the-key'] });

function logged(write: (logger: ReturnType<typeof createLogger>) => void, known = secrets, level: LogLevel = 'info') {
  const lines: string[] = [];
  write(createLogger({ name: 'test', level, secrets: known, destination: { write: (line) => void lines.push(line) } }));
  return lines.map((text) => ({ text, fields: JSON.parse(text) as Record<string, unknown> }));
}

describe('the logger', () => {
  test('writes name, level, time, fields and message as one line of JSON', () => {
    const [line] = logged((logger) => logger.warn({ partition: 'p3' }, 'slow %s', 'copy'));
    expect(line?.fields).toMatchObject({ name: 'test', level: 'warn', partition: 'p3', msg: 'slow copy' });
    expect(Date.parse(String(line?.fields['time']))).toBeGreaterThan(0);
    expect(line?.text).toMatch(/^[^\n]+\n$/);
  });

  test('leaves out what is less severe than its level', () => {
    expect(logged((logger) => logger.info('x'), secrets, 'warn')).toEqual([]);
    expect(logged((logger) => logger.fatal('x'), secrets, 'silent')).toEqual([]);
  });

  const failure = () => {
    const cause = new Error(`connect ${uri}`);
    return new DroverError('Unavailable', `node down: ${secret}`, { cause });
  };

  test.each<[where: string, write: Parameters<typeof logged>[0]]>([
    ['message', (logger) => logger.info(`at ${uri}`)],
    ['argument', (logger) => logger.info('at %s %o', uri, { secret })],
    ['field', (logger) => logger.info({ uri })],
    ['field in depth', (logger) => logger.info({ a: [{ b: { uri, key: 'the-key' } }] })],
    ['key of a field', (logger) => logger.info({ [uri]: 1, [secret]: 2 })],
    ['child binding', (logger) => logger.child({ uri, deep: { secret } }).info('x')],
    ['error', (logger) => logger.error(failure())],
    ['error as err', (logger) => logger.error({ err: failure() }, 'failed')],
    ['error under another name', (logger) => logger.error({ last: failure() }, 'failed')],
    ['error in depth', (logger) => logger.error({ results: [{ reason: failure() }] }, 'failed')],
    ['error of many', (logger) => logger.error(new AggregateError([failure()], `all: ${secret}`))],
    ['property of an error', (logger) => logger.error(Object.assign(new Error('x'), { uri, deep: { secret } }))],
    ['object with toJSON', (logger) => logger.info({ x: { toJSON: () => ({ uri }) } })],
  ])('shows no secret in a %s', (_where, write) => {
    const [line] = logged(write);
    expect(line?.text).toContain('***');
    for (const spelling of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), 'the-key']) {
      expect(line?.text).not.toContain(spelling);
      expect(JSON.stringify(line?.fields)).not.toContain(spelling);
    }
  });

  test('keeps type, code, message and stack of an error at any depth', () => {
    const [line] = logged((logger) => logger.error({ results: [{ reason: failure() }] }));
    expect(line?.fields['results']).toMatchObject([
      {
        reason: {
          type: 'DroverError',
          code: 'Unavailable',
          stack: expect.stringContaining('logger.test.ts') as string,
        },
      },
    ]);
    const [other] = logged((logger) => logger.error(failure()));
    expect(other?.fields['err']).toMatchObject({
      type: 'DroverError',
      message: expect.stringMatching(/^node down/) as string,
    });
    expect(other?.fields['msg']).toBe('node down: ***');
  });

  test('keeps 64-bit tokens exact, and copes with cycles', () => {
    const cycle: Record<string, unknown> = { token: 9223372036854775807n };
    cycle['self'] = cycle;
    const [line] = logged((logger) => logger.info({ cycle }));
    expect(line?.text).toContain('9223372036854775807');
  });

  test('shows no password, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 4 }), (password) => {
        // A password such as `level` would be masked in the names of the fields, too.
        fc.pre(password.trim().length >= 4 && !/^[*]+$|^[\w":{},.-]*$/.test(password));
        const known = new Secrets({ uris: [`mongodb://app:${encodeURIComponent(password)}@db1/`] });
        const [line] = logged((logger) => logger.info({ password, err: new Error(password) }, `<${password}>`), known);
        expect(line?.fields).toMatchObject({ password: '***', err: { message: '***' }, msg: '<***>' });
      }),
    );
  });

  test('writes to standard error by default', () => {
    const logger = createLogger({ name: 'test', level: 'info', secrets });
    expect(Reflect.get(logger, pino.symbols.streamSym)).toMatchObject({ fd: 2, sync: true });
  });
});
