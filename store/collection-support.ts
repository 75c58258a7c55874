import type { CollectionState } from './fenced-collection.js';

const SUPPORTED = new Set([
  'storageEngine',
  'indexOptionDefaults',
  'changeStreamPreAndPostImages',
  // These carry the fence.
  'validator',
  'validationLevel',
  'validationAction',
]);

/** Why collections with an option can't hold partitions, as the end of a sentence that begins with "it". */
const REASONS: Readonly<Record<string, string>> = {
  viewOn: 'is a view, and holds no documents of its own: take the collection that it shows',
  timeseries: 'is a time-series collection, on which the server allows no validator, and so no fence',
  capped: 'is capped: the server itself deletes its documents, in an order that no copy has',
  clusteredIndex: 'is clustered: its documents have no place in natural order from which a copy could go on',
  encryptedFields: 'has queryable encryption, whose helper collections would have to move with it',
  collation:
    'has a default collation, by which keys are equal that have different tokens: give indexes one of their own',
};

/** Why a collection can't hold a partition, as the end of a sentence; undefined when it can. Its fence is not looked at. */
export function unsupported({ exists, type, options }: CollectionState): string | undefined {
  if (!exists) return 'does not exist';
  if (type === 'view') return REASONS['viewOn'];
  if (type === 'timeseries') return REASONS['timeseries'];
  return unsupportedOption(options);
}

/** The same for the options of a collection that is to be made. */
export function unsupportedOption(options: Readonly<Record<string, unknown>>): string | undefined {
  const [name] = Object.entries(options)
    .filter(([option, value]) => !SUPPORTED.has(option) && value !== false)
    .map(([option]) => option)
    .sort((a, b) => Number(b in REASONS) - Number(a in REASONS));
  return name === undefined ? undefined : (REASONS[name] ?? `has the option "${name}", which no copy would keep`);
}
