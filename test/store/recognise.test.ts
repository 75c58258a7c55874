import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IngestionDocument } from '../../store/catalog/ingestions.js';
import { Content } from '../../store/ingest/content.js';
import { Fingerprint } from '../../store/ingest/fingerprint.js';
import { recognise } from '../../store/ingest/recognise.js';

const HEADER =
  'time,customer,region,client,operation,status,latency,session,request,agent,referer,node,shard,zone,tenant\n';
const row = (i: number, of = 'c'): string => `2026-01-01T00:00:${String(i % 60).padStart(2, '0')}Z,${of}${i},eu\n`;
const rows = (from: number, to: number, of?: string): string =>
  Array.from({ length: to - from }, (_, i) => row(from + i, of)).join('');

/** As it is after its content has been counted. */
function ingested(text: string): IngestionDocument {
  const fingerprint = new Fingerprint();
  fingerprint.update(Buffer.from(text));
  const { length: position, marks } = fingerprint;
  return {
    ...{ _id: `k/${marks.at(-1)?.hash}`, accesses: 1, skipped: 0 },
    ...{ position, positionHash: fingerprint.current(), marks: [...marks] },
  } as IngestionDocument;
}
const kindOf = async (text: string, ...known: string[]) => {
  const content = await Content.open('-', Readable.from([Buffer.from(text)]));
  const found = await recognise(content, () => Promise.resolve(known.map(ingested)));
  return found.kind === 'new'
    ? 'new'
    : `${found.kind} ${known.findIndex((each) => each.length === found.ingestion.position)}`;
};

describe('a log', () => {
  it('that has a header in common with a longer one, and little more, is another one', async () => {
    expect(await kindOf(HEADER + rows(0, 1, 'a'), HEADER + rows(0, 50))).toBe('new');
    expect(await kindOf(HEADER + rows(0, 2, 'a'), HEADER + rows(0, 2_000))).toBe('new');
    expect(await kindOf(HEADER + rows(0, 3) + row(9), HEADER + rows(0, 50))).toBe('new');
    expect(await kindOf(HEADER + row(1).trim(), HEADER + rows(1, 2).replace('c1', 'c12'))).toBe('new');
    expect(await kindOf(HEADER + rows(0, 30) + rows(60, 70), HEADER + rows(0, 60))).toBe('new');
  });

  it('is known in a shorter version, by whole lines where it is short', async () => {
    const all = HEADER + rows(0, 3_000);
    for (const lines of [0, 1, 2, 10, 15, 16, 40, 300, 2_999]) {
      expect(await kindOf(HEADER + rows(0, lines), all), `${lines} lines`).toBe('shorter 0');
    }
    expect(await kindOf(all.slice(0, 40_005), all)).toBe('shorter 0');
  });

  it('is known in a longer version', async () => {
    expect(await kindOf(rows(0, 100), rows(0, 3))).toBe('continued 0');
    expect(await kindOf(rows(0, 100), rows(0, 100))).toBe('continued 0');
    expect(await kindOf(rows(0, 100), `${rows(0, 40)}x`, rows(0, 39))).toBe('continued 1');
  });

  it('goes on from what it has in common with one, also where another one was like it for longer', async () => {
    const text = rows(0, 100);
    expect(await kindOf(text, rows(0, 39), `${rows(0, 39)}${row(39).slice(0, 5)}${rows(500, 900)}`)).toBe(
      'continued 0',
    );
  });
});

describe('the marks of a content', () => {
  it('are the same however it is read, and close to each other', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 3_000, unit: fc.constantFrom('a', 'b', '\n') }),
        fc.array(fc.nat(3_000)),
        (text, cuts) => {
          const [whole, pieces] = [new Fingerprint(), new Fingerprint()];
          whole.update(Buffer.from(text));
          const ends = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length];
          for (let i = 1; i < ends.length; i++) pieces.update(Buffer.from(text.slice(ends[i - 1], ends[i])));
          expect(pieces.marks).toEqual(whole.marks);
          expect(pieces.current()).toBe(whole.current());
          const last = whole.marks.at(-1)?.length ?? 0;
          if (text.length >= 128) expect(text.length - last).toBeLessThan(text.length / 8);
        },
      ),
    );
  });
});
