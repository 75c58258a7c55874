import type { Document } from 'mongodb';
import type { Accumulation } from './partial-group.js';
import { accumulationOf } from './partial-group.js';
import type { Stage } from './stages.js';
import { isDocument } from './stages.js';

/** A stage that groups, taken apart. */
export interface Grouping {
  /** What does it all, the stages after it aside. */
  readonly stage: Document;
  readonly partial: Document;
  readonly accumulation: Accumulation;
  readonly after: readonly Document[];
}

/** @returns undefined for a stage that does not group, or not in a way that could be taken apart */
export function groupingOf({ name, spec }: Stage): Grouping | undefined {
  switch (name) {
    case '$group':
      return grouped(spec as Document, []);
    case '$count':
      return grouped({ _id: null, [spec as string]: { $sum: 1 } }, [{ $project: { _id: 0 } }]);
    case '$sortByCount':
      return grouped({ _id: spec, count: { $sum: 1 } }, [{ $sort: { count: -1 } }]);
    case '$bucket':
      return bucketed(spec as Document);
    default:
      return undefined;
  }
}

function grouped(spec: Document, after: readonly Document[]): Grouping | undefined {
  const { _id, ...outputs } = spec as { readonly _id: unknown };
  const accumulation = accumulationOf(Object.entries(outputs));
  return (
    accumulation && {
      stage: { $group: spec },
      partial: { $group: { _id, ...accumulation.partial } },
      accumulation,
      after,
    }
  );
}

/** The server goes on checking the boundaries. */
function bucketed(spec: Document): Grouping | undefined {
  const { output = { count: { $sum: 1 } } } = spec;
  const accumulation = isDocument(output) ? accumulationOf(Object.entries(output)) : undefined;
  return (
    accumulation && {
      stage: { $bucket: spec },
      partial: { $bucket: { ...spec, output: accumulation.partial } },
      accumulation,
      after: [{ $sort: { _id: 1 } }],
    }
  );
}
