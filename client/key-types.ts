/** What a key may be in the documents. */
export const KEY_TYPES = ['string', 'number', 'objectId', 'date', 'bool'] as const;
export type KeyType = (typeof KEY_TYPES)[number];
