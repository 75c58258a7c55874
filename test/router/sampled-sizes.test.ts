import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { random } from '../../examples/random.js';
import { SampledSizes } from '../../router/sampled-sizes.js';

/** Documents as bytes, of which so many are measured before any is left out. */
const MEASURED = 32_768;
const ofSizes = (sizes: readonly number[]) => sizes.map((size) => new Uint8Array(size));
const total = (documents: readonly Uint8Array[]) => documents.reduce((sum, { length }) => sum + length, 0);
const oneByOne = (sizes: SampledSizes, documents: readonly unknown[]) =>
  documents.reduce<number>((sum, document) => sum + sizes.of(document), 0);

describe('the bytes of documents', () => {
  it('are told exactly of the first ones in an interval', () => {
    const sizes = new SampledSizes(random(7));
    const documents = ofSizes(Array.from({ length: 100 }, (_, i) => 3 * i));
    for (let interval = 0; interval < 3; interval++) {
      expect(oneByOne(sizes, documents)).toBe(total(documents));
      expect(oneByOne(sizes, [...documents, ...documents, ...documents])).not.toBe(3 * total(documents));
      sizes.begin();
    }
    expect(sizes.of(documents)).toBe(total(documents));
  });

  it('are those of BSON, of documents and of those that are bytes already', () => {
    const sizes = new SampledSizes(random(7));
    expect(sizes.of({ a: 'text', n: 1, list: [{}, null] })).toBe(4 + 12 + 7 + (1 + 5 + 4 + 8 + 3 + 1) + 1);
    expect(sizes.of([{ a: 1 }, { a: 1 }])).toBe(24);
    expect(sizes.of([[{ $set: { a: 1 } }]])).toBe(4 + 3 + 23 + 1);
    expect(sizes.of(Buffer.alloc(70))).toBe(70);
  });

  it.each([
    ['of any size', (i: number) => 50 + ((i * 7_919) % 4_000)],
    ['small and large ones in turn', (i: number) => (i % 2 === 0 ? 40 : 900)],
    ['one of sixteen large, as often as one is measured', (i: number) => (i % 16 === 5 ? 20_000 : 10)],
    ['a few very large ones', (i: number) => (i % 500 === 499 ? 400_000 : 200)],
  ])('are right on average: %s', (_, size) => {
    const documents = ofSizes(Array.from({ length: 4_000 }, (__, i) => size(i)));
    const estimates = Array.from({ length: 400 }, (__, seed) => oneByOne(new SampledSizes(random(seed)), documents));
    const mean = estimates.reduce((sum, each) => sum + each, 0) / estimates.length;
    const variance = estimates.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (estimates.length - 1);
    const truth = total(documents);
    expect(Math.abs(mean - truth)).toBeLessThan(3.5 * Math.sqrt(variance / estimates.length));
    // Nor are they further off than is said: 4/sqrt(n), times the root mean square over the mean.
    const rms = Math.sqrt(documents.reduce((sum, { length }) => sum + length ** 2, 0) / documents.length);
    const told = (4 / Math.sqrt(documents.length)) * (rms / (truth / documents.length));
    expect(Math.sqrt(variance) / truth).toBeLessThan(1.1 * told);
  });

  it('are the same whether documents come by themselves or in lists', () => {
    const sizes = fc.array(fc.nat(MEASURED / 16), { maxLength: 300 });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(40)), fc.nat(), (lengths, cuts, seed) => {
        const documents = ofSizes(lengths);
        const [single, listed] = [new SampledSizes(random(seed)), new SampledSizes(random(seed))];
        let sum = 0;
        let at = 0;
        for (const cut of cuts) sum += listed.of(documents.slice(at, (at += cut)));
        expect(sum + listed.of(documents.slice(at))).toBe(oneByOne(single, documents));
      }),
    );
  });

  it('are few to be measured, and none of what is no document', () => {
    const sizes = new SampledSizes(random(7));
    sizes.of(Buffer.alloc(MEASURED));
    let measured = 0;
    const document = Object.defineProperty({}, 'a', { enumerable: true, get: () => ++measured });
    for (let i = 0; i < 16_000; i++) sizes.of(document);
    expect(measured).toBeGreaterThan(900);
    expect(measured).toBeLessThan(1_100);
    for (const nothing of [null, undefined, 7, 'text', true]) {
      sizes.begin();
      expect(sizes.of(nothing)).toBe(0);
    }
  });

  it('fail no request: what can not be measured counts as nothing', () => {
    const sizes = new SampledSizes(random(7));
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    const broken = {
      get a() {
        throw new Error('not for you');
      },
    };
    for (const document of [circular, broken]) expect(sizes.of([document, { a: 1 }, undefined])).toBe(12);
  });
});
