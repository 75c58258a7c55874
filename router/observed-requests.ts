import type { Origin } from '../domain/access.js';
import type { ShapedRequest } from '../domain/query-shape.js';
import type { KeyspaceHandle, Keyspaces } from './keyspaces.js';
import { wantedByPipeline } from './piece-pipeline.js';
import type { RouteTable } from './route-table.js';
import type { DroverSession } from './session.js';
import type { ShapePlace, ShapeRecorder } from './shape-recorder.js';
import type { Wanted } from './wanted.js';
import { isCollated, wantedBy } from './wanted.js';

/** A request of the application, as far as its shape depends on it. */
export interface ObservedRequest extends ShapedRequest {
  /** Its keys, where they are known already. */
  readonly wanted?: Wanted;
  readonly collation?: Parameters<typeof isCollated>[0];
  readonly session?: DroverSession | undefined;
}

/** Looks at some of the application's requests on their way, each once, however many nodes it asks. */
export class ObservedRequests {
  constructor(
    private readonly shapes: ShapeRecorder,
    private readonly keyspaces: Keyspaces,
    private readonly table: RouteTable,
    private readonly origin: Origin,
  ) {}

  /** @param name of the keyspace */
  run<T>(name: string, request: ObservedRequest, perform: () => Promise<T>): Promise<T> {
    const weight = this.shapes.next();
    return weight === 0 ? perform() : this.timed(name, request, weight, perform);
  }

  /** One of many that are sent together. */
  note(name: string, request: ObservedRequest): void {
    const weight = this.shapes.next();
    if (weight > 0) this.count(name, request, weight, undefined, false);
  }

  /** So many of one shape that are sent together. */
  noteAll(name: string, request: ObservedRequest, times: number): void {
    if (this.shapes.isOn) this.count(name, request, times, undefined, false);
  }

  private async timed<T>(
    name: string,
    request: ObservedRequest,
    weight: number,
    perform: () => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    let failed = true;
    try {
      const result = await perform();
      failed = false;
      return result;
    } finally {
      this.count(name, request, weight, performance.now() - startedAt, failed);
    }
  }

  private count(name: string, request: ObservedRequest, weight: number, ms: number | undefined, failed: boolean): void {
    const keyspace = this.keyspaces.known(name);
    // What is no keyspace has no shapes.
    if (keyspace === undefined) return;
    try {
      this.shapes.count(this.placeOf(keyspace, request), request, weight, ms, failed);
    } catch {
      // Whatever it was that was asked: the application is told by who carries it out, not by who counts it.
    }
  }

  private placeOf(keyspace: KeyspaceHandle, request: ObservedRequest): ShapePlace {
    const { name, field } = keyspace;
    const collated = isCollated(request.collation);
    const { wanted = wantedIn(request, field, collated), session } = request;
    const { region } = session?.origin ?? this.origin;
    const partitions =
      wanted === 'all' ? [] : new Set(wanted.map((token) => this.table.find(name, token)?.partition.name));
    const [partition, ...others] = partitions;
    return others.length > 0 ? { keyspace: name, region } : { keyspace: name, region, partition };
  }
}

const wantedIn = ({ filter, pipeline }: ObservedRequest, field: string, collated: boolean): Wanted =>
  Array.isArray(pipeline) ? wantedByPipeline(pipeline, field, collated) : wantedBy(filter, field, collated);
