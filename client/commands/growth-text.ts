import type { SizeGrowth } from '../../domain/size-growth.js';
import { about, size } from './presentation.js';

/** `2.4 MB`, or `~2.4 MB` where it is an estimate. */
export function dailyBytes(growth: SizeGrowth | null): string | undefined {
  const bytes = size(growth?.bytesPerDay);
  return growth?.estimated === true ? about(bytes) : bytes;
}
