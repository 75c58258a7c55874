import type { Configuration } from './schema.js';

/** How clients and workers reach Temporal; the key stays in memory. */
export function temporalConnectionOptions({ temporal }: Pick<Configuration, 'temporal'>) {
  const { address, tls, apiKey } = temporal;
  return {
    address,
    ...(tls === true || apiKey !== undefined ? { tls: true as const } : {}),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
}
