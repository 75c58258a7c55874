/** Orders names by code unit, so that the result does not depend on the machine's language. */
export const compareNames = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const MOST_TOLD = 20;

/** For a sentence. */
export const someNames = (names: readonly string[]): string =>
  `${names.slice(0, MOST_TOLD).join(', ')}${names.length > MOST_TOLD ? ` and ${names.length - MOST_TOLD} more` : ''}`;
