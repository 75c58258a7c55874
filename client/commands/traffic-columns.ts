import type { Traffic } from '../traffic.js';
import type { Column } from './presentation.js';
import { size } from './presentation.js';

/**
 * Bytes read and written. `8.1 MB+` is at least so much: of some of the requests it is not known.
 *
 * @param per behind the titles, such as `/h`
 */
export function trafficColumns<Row extends { readonly traffic: Traffic | null }>(
  per: string,
  requestsOf: (row: Row) => number,
): Column<Row>[] {
  const shown = (row: Row, bytes: number | undefined): string | undefined => {
    const isPart = row.traffic !== null && row.traffic.requests < Math.floor(requestsOf(row));
    return bytes === undefined ? undefined : `${size(bytes)}${isPart ? '+' : ''}`;
  };
  return [
    { title: `bytes read${per}`, value: (row) => shown(row, row.traffic?.bytesRead), right: true },
    { title: `bytes written${per}`, value: (row) => shown(row, row.traffic?.bytesWritten), right: true },
  ];
}
