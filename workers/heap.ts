import { setFlagsFromString } from 'node:v8';

/** Of what is in use. */
const GROWING_PERCENT = 200;

/**
 * What a copy sends passes through buffers, and V8 collects garbage, on all cores, whenever they come to a few megabytes more than what
 * is in use: several times a second. With this it waits until there is three times of what is in use.
 */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT}`);
}
