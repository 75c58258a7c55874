import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';

/** One real access: a departure, used from the region of its airport. */
export interface Flight {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly origin: string;
  readonly carrier: string;
  readonly document: {
    readonly _id: string;
    readonly carrier: string;
    readonly flight: number;
    readonly tailnum: string;
    readonly dest: string;
    readonly distance: number;
  };
}

/** The repository's own copy, found from the compiled file and from the source alike. */
const FILE = fileURLToPath(new URL('../../../examples/data/flights-2013-h1.csv.gz', import.meta.url));

/** The flights of a period, in order of time. The data set's columns are in examples/data/README.md. */
export async function readFlights(from: number, to: number): Promise<Flight[]> {
  const lines = createInterface({ input: createReadStream(FILE).pipe(createGunzip()), crlfDelay: Infinity });
  const flights: Flight[] = [];
  let header = true;
  for await (const line of lines) {
    if (header) {
      header = false;
      continue;
    }
    const [time, tailnum, origin, dest, carrier, flight, , distance] = line.split(',');
    const at = Date.parse(time!);
    if (at < from || at >= to) continue;
    flights.push({
      time: at,
      origin: origin!,
      carrier: carrier!,
      document: {
        _id: `${time}/${carrier}${flight}/${origin}`,
        carrier: carrier!,
        flight: Number(flight),
        tailnum: tailnum!,
        dest: dest!,
        distance: Number(distance),
      },
    });
  }
  return flights.sort((a, b) => a.time - b.time);
}
