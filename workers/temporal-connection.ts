import type { Configuration } from '../config/index.js';

/** How to reach Temporal; the key stays in memory. */
export function temporalConnectionOptions({ temporal }: Configuration) {
  const { address, tls, apiKey } = temporal;
  return {
    address,
    ...(tls === true || apiKey !== undefined ? { tls: true as const } : {}),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
}
