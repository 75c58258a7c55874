import type { Document } from 'mongodb';
import { SORT_KEY } from './merge.js';
import type { Stage } from './stages.js';
import { countIn, isDocument } from './stages.js';

/** Whether a stage gives for each document one, and can't fail: others must not meet what is left out behind it. */
export function changesNothingElse({ name, spec }: Stage): boolean {
  if (name === '$unset') return true;
  return (name === '$project' || name === '$set' || name === '$addFields') && isDocument(spec) && isPlain(spec);
}

function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  if (!isDocument(value)) return true;
  return Object.entries(value).every(([name, each]) => (name.startsWith('$') ? name === '$literal' : isPlain(each)));
}

/** The stage for documents that have a key, which is left as it is and not seen. @returns undefined where that can't be */
export function keepingKey(each: Document, { name, spec }: Stage): Document | undefined {
  if (name === '$replaceRoot' || name === '$replaceWith' || name === '$redact' || mentionsAll(spec)) return undefined;
  return name === '$project' && isDocument(spec) && isInclusion(spec) ? { $project: { ...spec, [SORT_KEY]: 1 } } : each;
}

/** Whether the document as a whole may be looked at. */
export function mentionsAll(value: unknown): boolean {
  if (typeof value === 'string') return value.startsWith('$$ROOT') || value.startsWith('$$CURRENT');
  if (Array.isArray(value)) return value.some(mentionsAll);
  if (!isDocument(value)) return value instanceof Map;
  return Object.entries(value).some(([name, each]) => name === '$jsonSchema' || name === '$where' || mentionsAll(each));
}

/** Whether a projection names what it keeps. */
function isInclusion(spec: Document): boolean {
  for (const [name, value] of Object.entries(spec)) {
    const kept = isKept(value);
    // Without the `_id` there may be either.
    if (kept !== undefined && (kept || name !== '_id')) return kept;
  }
  return false;
}

function isKept(value: unknown): boolean | undefined {
  const names = isDocument(value) ? Object.keys(value) : ['$'];
  if (!names.some((name) => name.startsWith('$')))
    return names.length === 0 ? undefined : isInclusion(value as Document);
  return typeof value === 'boolean' || countIn(value) !== undefined ? Number(value) !== 0 : true;
}
