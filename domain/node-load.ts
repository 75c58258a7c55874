import { forecastRequestsByStep } from './predicted-score.js';
import type { PartitionForecast } from './predicted-score.js';

/** What counts towards a node's load from one partition, in requests per second. */
export interface PartitionLoad {
  readonly owner: string;
  /** The node it is moving to, while it does. */
  readonly movingTo?: string | undefined;
  readonly nowPerSecond: number;
  /** Largest forecast step; what it is now if there is no forecast. */
  readonly peakPerSecond: number;
}

/** Busiest step of a forecast, all regions together, in requests per second. */
export function peakPerSecond(forecast: PartitionForecast): number {
  return (Math.max(0, ...forecastRequestsByStep(forecast)) * 1000) / forecast.stepMs;
}

/**
 * Forecast load of each node in operations per second: what it does now, plus what its partitions are forecast to grow
 * by, plus the peak of every partition that is on its way to it. A partition on its way out still counts: until its
 * cutover is complete, the node serves it. A node whose present load is unknown is absent, which is not the same as 0.
 */
export function forecastNodeLoads(
  nodes: readonly { readonly name: string; readonly opsPerSecond: number | undefined }[],
  partitions: readonly PartitionLoad[],
): Map<string, number> {
  const loads = new Map<string, number>();
  for (const { name, opsPerSecond } of nodes) if (opsPerSecond !== undefined) loads.set(name, opsPerSecond);
  const add = (node: string, perSecond: number): void => {
    const load = loads.get(node);
    if (load !== undefined) loads.set(node, load + perSecond);
  };
  for (const { owner, movingTo, nowPerSecond, peakPerSecond } of partitions) {
    add(owner, Math.max(0, peakPerSecond - nowPerSecond));
    if (movingTo !== undefined) add(movingTo, peakPerSecond);
  }
  return loads;
}
