import { moveBoundary, restoreFences } from '../../../domain/boundary-step.js';
import { removeOldCopy, removeShadow, retire, withdraw } from '../../../domain/ending.js';
import { advance } from '../../../domain/step.js';
import type { Program } from './program.js';

/** One activity each: what a migration does, in the parts that are retried by themselves. */
export const to = (boundary: number): Program => ({
  name: `to ${boundary}`,
  step: (held) => moveBoundary(held, BigInt(boundary)),
});
export const CLAIM: Program = {
  name: 'claim',
  *step(held) {
    if (held.handover !== null) return;
    yield* advance(held, { kind: 'claim', migration: `m-${held.name}`, target: 'B' });
  },
};
export const PUBLISH: Program = { name: 'publish', step: (held) => advance(held, { kind: 'publish' }) };
export const RETIRE: Program = { name: 'retire', step: (held) => retire(held, 0) };
export const REMOVE_OLD_COPY: Program = {
  name: 'removeOldCopy',
  *step(held) {
    if (held.handover === null) return;
    yield* advance(yield* removeOldCopy(held), { kind: 'release' });
  },
};
export const WITHDRAW: Program = { name: 'withdraw', step: withdraw };
export const REMOVE_SHADOW: Program = {
  name: 'removeShadow',
  *step(held) {
    if (held.handover === null) return;
    yield* advance(yield* removeShadow(held), { kind: 'release' });
  },
};
export const RESTORE_FENCES: Program = { name: 'restoreFences', step: restoreFences };
