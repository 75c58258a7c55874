/** What makes a run fail, as it is counted in the end. */
export const FINDING_KINDS = ['lost', 'resurrected', 'duplicates', 'stuck'] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

export interface Finding {
  readonly kind: FindingKind;
  readonly text: string;
  /** Where the history says more. */
  readonly document?: string;
}
