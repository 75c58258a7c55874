/** What a mover process is to copy, and how. */
export interface MoverSettings {
  readonly how: 'drover' | 'driver';
  readonly source: string;
  readonly target: string;
  readonly database: string;
  readonly collection: string;
}

export interface MoverResult {
  readonly seconds: number;
  /** Resident memory before the copy, and the most during it; in MB. */
  readonly idleMb: number;
  readonly peakMb: number;
}
