/** Orders names by code unit, so that the result does not depend on the machine's language. */
export const compareNames = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
