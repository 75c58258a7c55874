import type { Configuration, Mode, Policy } from '../config/index.js';

/** The policy in effect, all defaults filled in; lengths of time in milliseconds. */
export const showPolicy = ({
  configuration: { mode, policy },
}: {
  readonly configuration: Configuration;
}): { readonly mode: Mode; readonly policy: Policy } => ({ mode, policy });
