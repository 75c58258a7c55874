/** What a mover process is to do. */
export interface MoverSettings {
  readonly how: 'copy' | 'copy by a loop' | 'verify' | 'compare by a loop';
  readonly source: string;
  readonly target: string;
  readonly database: string;
  readonly collection: string;
}

export interface MoverResult {
  readonly seconds: number;
  /** Resident memory before the work, and the most during it; in MB. */
  readonly idleMb: number;
  readonly peakMb: number;
  /** Documents that are not the same on both sides. */
  readonly different?: number;
}
