import { DroverError } from '../domain/errors.js';

/** Where a problem is: in the file (line and column from 1), or in a variable of the environment. */
export interface Place {
  readonly source: string;
  readonly line?: number;
  readonly column?: number;
}

/** One thing that is wrong with the configuration. The text holds no secret. */
export interface Problem {
  readonly place: Place;
  readonly text: string;
}

/** All problems in one error, those of the file first and in its order. */
export function invalidConfiguration(problems: readonly Problem[]): DroverError {
  const sorted = [...problems].sort(
    (a, b) =>
      (a.place.line ?? Infinity) - (b.place.line ?? Infinity) || (a.place.column ?? 0) - (b.place.column ?? 0) || 0,
  );
  const lines = new Set(sorted.map(({ place, text }) => `  ${placeText(place)}: ${text}`));
  const count = lines.size === 1 ? '1 problem' : `${lines.size} problems`;
  return new DroverError('InvalidConfiguration', [`the configuration has ${count}:`, ...lines].join('\n'));
}

function placeText({ source, line, column }: Place): string {
  return line === undefined ? source : `${source}:${line}:${column ?? 1}`;
}

/** `; did you mean ...?` when one of the candidates is near, else nothing. */
export function suggestion(name: string, candidates: readonly string[]): string {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best && best.distance <= Math.max(1, Math.floor(name.length / 3)) ? `; did you mean ${best.candidate}?` : '';
}

/** Insertions, deletions, replacements and swaps of neighbours between two names. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
      }
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
