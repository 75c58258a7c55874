import type { Mix } from './operations.js';

/** What a process of an application is told to do, when it starts. */
export interface RouterProcessInput {
  readonly name: string;
  readonly catalog: string;
  readonly nodes: Readonly<Record<string, string>>;
  readonly history: string;
  readonly seed: number;
  /** Documents of each writer; some are written by writers of other processes, too. */
  readonly writers: readonly (readonly string[])[];
  readonly mix: Mix;
  readonly thinkMs: number;
}

/** The environment variable that holds the input, which has secrets in it. */
export const INPUT_VARIABLE = 'DROVER_TORTURE_ROUTER';

export type RouterOrder = 'pause' | 'resume' | 'stop';
/** All requests have been answered, and none is sent. */
export type RouterReport = 'connected' | 'quiet';
