import fc from 'fast-check';
import Papa from 'papaparse';
import { describe, expect, it } from 'vitest';
import { parseBytes, parseFailed, parseLatency, parseOperation, parseTime } from '../../domain/access-log.js';
import { commonLog } from '../../store/ingest/common-log.js';
import { csv } from '../../store/ingest/csv.js';
import { jsonLines } from '../../store/ingest/json-lines.js';
import type { LineReader, LineValues } from '../../store/ingest/log-lines.js';

function read(reader: LineReader, text: string) {
  const counted: LineValues[] = [];
  const bad: string[] = [];
  const lines = reader.read(text, 1, {
    count: (values) => void counted.push(values),
    bad: (line, reason) => void bad.push(`${line}: ${reason}`),
  });
  return { counted, bad, lines };
}

describe('what a line says', () => {
  it('of its time: ISO 8601, the Common Log Format, seconds to nanoseconds since 1970', () => {
    const time = Date.parse('2013-01-05T07:08:09Z');
    for (const written of [
      ...['2013-01-05T07:08:09Z', '2013-01-05 07:08:09', '2013-01-05T09:08:09+02:00', '2013-01-05 07:08:09.000 UTC'],
      ...['05/Jan/2013:02:08:09 -0500', `${time / 1000}`, time / 1000, time, `${time}`, time * 1e3, time * 1e6],
    ]) {
      expect(parseTime(written), String(written)).toBe(time);
    }
    expect(parseTime('2013-01-05')).toBe(Date.parse('2013-01-05T00:00:00Z'));
    for (const written of ['yesterday', '', undefined, '05/Foo/2013:02:08:09 -0500', '2013-99-99', {}]) {
      expect(() => parseTime(written), JSON.stringify(written)).toThrow(/time/);
    }
  });

  it('of the operation, its outcome and how long it took', () => {
    expect(['GET', 'findOne', 'SELECT', '', undefined].map(parseOperation)).toEqual(Array(5).fill('reads'));
    expect(['POST', 'bulkWrite', ' update '].map(parseOperation)).toEqual(Array(3).fill('writes'));
    expect(() => parseOperation('frobnicate')).toThrow(/neither as a read/);
    expect([200, '404', 'ok', undefined, true].map(parseFailed)).toEqual(Array(5).fill(false));
    expect([500, '503', 'Error', false].map(parseFailed)).toEqual(Array(4).fill(true));
    expect(() => parseFailed('purple')).toThrow(/its status/);
    expect([parseLatency('1.5', 'ms'), parseLatency(2, 's'), parseLatency('-', 's')]).toEqual([1.5, 2000, undefined]);
    expect(() => parseLatency('-3', 'ms')).toThrow(/0 or more/);
    expect([parseBytes('512'), parseBytes(0), parseBytes('-'), parseBytes(null)]).toEqual([
      512,
      0,
      undefined,
      undefined,
    ]);
    for (const size of ['1.2kB', -1, {}, NaN, 1e308]) expect(parseBytes(size)).toBeUndefined();
  });
});

describe('CSV', () => {
  const reader = csv(3, [0, 1, 2, -1, -1, -1, -1], ',');

  it('has values in quotes, with delimiters, quotes and line breaks in them', () => {
    const { counted, bad, lines } = read(reader, 'a,"b, ""c""",d\r\n"e\nf",g,h\n\ni,j,k\n');
    expect(counted.map((values) => values.slice(0, 3))).toEqual([
      ['a', 'b, "c"', 'd'],
      ['e\nf', 'g', 'h'],
      ['i', 'j', 'k'],
    ]);
    expect({ bad, lines }).toEqual({ bad: [], lines: 5 });
  });

  it('loses a line with broken quotes, and none after it', () => {
    const { counted, bad, lines } = read(reader, 'a,b,c\nd,"e,f\ng,h,i\nj,k\n"l\nm",n,o\n');
    expect(counted.map(([first]) => first)).toEqual(['a', 'g', 'l\nm']);
    expect(bad.map((each) => each.split(':')[0])).toEqual(['2', '4']);
    expect(lines).toBe(6);
  });

  /** As a log is read: in pieces, of which each but the last ends somewhere. */
  function readInPieces(bytes: Buffer, ends: readonly number[]) {
    const pieces = csv(3, [0, 1, 2, -1, -1, -1, -1], ',');
    const all = { counted: [] as LineValues[], bad: [] as string[], lines: 0 };
    const add = (text: string) => {
      const found = read(pieces, text);
      all.counted.push(...found.counted.map((values) => values.slice(0, 3)));
      all.bad.push(...found.bad);
      all.lines += found.lines;
    };
    let rest = Buffer.alloc(0);
    let from = 0;
    for (const end of [...ends].sort((a, b) => a - b)) {
      const held = Buffer.concat([rest, bytes.subarray(from, end)]);
      const whole = pieces.wholeRecords(held, rest.length);
      add(held.toString('utf8', 0, whole));
      rest = held.subarray(whole);
      from = end;
    }
    add(Buffer.concat([rest, bytes.subarray(from)]).toString('utf8'));
    return all;
  }
  const each = (piece: number, bytes: Buffer) =>
    Array.from({ length: Math.floor(bytes.length / piece) }, (_, i) => (i + 1) * piece);

  it('is cut between records, wherever chunks end', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', 'b', ',', '"', '\n', ' ', 'é') });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(cell, cell, cell), { minLength: 1 }),
        fc.array(fc.nat()),
        fc.boolean(),
        (rows, ends, quotes) => {
          const text = `${Papa.unparse(rows, { newline: '\n', quotes })}\n`;
          const bytes = Buffer.from(text);
          const inside = ends.map((end) => end % (bytes.length + 1));
          const { counted, lines } = readInPieces(bytes, inside);
          expect(counted).toEqual(rows);
          expect(lines).toBe(text.split('\n').length - 1);
        },
      ),
    );
  });

  it('is cut where as many whole records end as there are', () => {
    const cut = (text: string, delimiter = ',') =>
      csv(3, [0, 1, 2, -1, -1, -1, -1], delimiter).wholeRecords(Buffer.from(text), 0);
    expect(cut('a,b,c\nd,"e\n')).toBe(6);
    expect(cut('a,"b\n","c"\nd,"e')).toBe(11);
    expect(cut('a,5" b,c\nd,e,f\n')).toBe(15);
    expect(cut('a¦"b\n"¦c\n', '¦')).toBe(Buffer.byteLength('a¦"b\n"¦c\n'));
    expect(cut('a,"b"')).toBe(0);
  });

  it('gets over a stray quotation mark among quoted values at once', () => {
    const rows = Array.from({ length: 60_000 }, (_, i) => `"k${i}","some ""words""","${i}"\n`);
    rows[5] = `"k5","stray" words","5"\n`;
    rows[30_000] = `k,"stray,5\n`;
    const bytes = Buffer.from(rows.join(''));
    const startedAt = performance.now();
    const { counted, bad, lines } = readInPieces(bytes, each(65_536, bytes));
    expect(lines).toBe(60_000);
    expect([counted.length, bad.length]).toEqual([59_998, 2]);
    // Where a cut is sought backwards, it takes minutes.
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  it('gets over one that stays open for long, in small pieces, and loses its line alone', () => {
    const rows = Array.from({ length: 60_000 }, (_, i) => `k${i},some words without end,${i}\n`);
    rows[5] = `k5,"stray,5\n`;
    const bytes = Buffer.from(rows.join(''));
    const { counted, bad } = readInPieces(bytes, each(4_096, bytes));
    expect([counted.length, bad.length]).toEqual([59_999, 1]);
  });
});

describe('JSON lines and web server logs', () => {
  it('find fields by name and by path', () => {
    const reader = jsonLines({ key: 'order.customer', time: 'ts' }, { time: 'time', region: 'region' });
    const { counted, bad } = read(
      reader,
      '{"ts":1,"order":{"customer":"c1"},"region":"eu"}\nnot json\n[1]\n{"ts":2}\n',
    );
    expect(counted).toEqual([
      [1, 'c1', 'eu', undefined, undefined, undefined, undefined, undefined],
      [2, undefined, undefined, undefined, undefined, undefined, undefined, undefined],
    ]);
    expect(bad).toEqual(['2: it is not JSON', '3: it is not a JSON object']);
  });

  it('are in the Common or the Combined format, or more', () => {
    const reader = commonLog({ key: 'path' });
    const common = '10.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a/b?c=d HTTP/1.0" 200 2326';
    const combined = `${common} "http://x/" "Mozilla/5.0 (\\"quoted\\")"`;
    const empty = common.replace('2326', '-');
    const { counted, bad } = read(reader, `${common}\n${combined}\n${combined} 0.003\nnonsense\n${empty}\n`);
    const values = ['10/Oct/2000:13:55:36 -0700', '/a/b?c=d', undefined, '10.0.0.1', 'GET', '200', undefined];
    // Without a body servers write a hyphen for its size, which is known then.
    expect(counted).toEqual([...Array<unknown>(3).fill([...values, '2326']), [...values, 0]]);
    expect(bad).toEqual(['4: it is not in the Common or Combined Log Format']);
  });
});
