import { moveBoundary, restoreFences, restoreLostFences } from '../../../domain/boundary-step.js';
import { removeOldCopy, removeShadow, retire, withdraw } from '../../../domain/ending.js';
import { advance } from '../../../domain/step.js';
import type { Program } from './program.js';

/** What a migration does, in the parts that are begun anew by themselves when they fail. */
export const to =
  (boundary: number): Program =>
  (held) =>
    moveBoundary(held, BigInt(boundary));

/** One step after the other, without a take-over between them. */
export const through = (...boundaries: number[]): Program =>
  function* (held) {
    let at = held;
    for (const boundary of boundaries)
      at = yield* moveBoundary(at, BigInt(boundary), at === held ? undefined : at.attempt);
    return at;
  };

export const claim: Program = function* (held) {
  if (held.handover === null) yield* advance(held, { kind: 'claim', migration: `m-${held.name}`, target: 'B' });
};

export const publish: Program = (held) => advance(held, { kind: 'publish' });

export const retired: Program = (held) => retire(held, 0);

/** With the partition given free; an attempt before this one may have done that. */
export const oldCopyRemoved: Program = function* (held) {
  if (held.handover !== null) yield* advance(yield* removeOldCopy(held), { kind: 'release' });
};

export const withdrawn: Program = withdraw;

export const shadowRemoved: Program = function* (held) {
  if (held.handover !== null) yield* advance(yield* removeShadow(held), { kind: 'release' });
};

/** What the janitor does about a fence that was changed from outside. */
export const fencesRestored: Program = restoreFences;

/** What is done where somebody has dropped the source's collection: with what the model has of it, a mover among others. */
export const lostFencesRestored: Program = restoreLostFences;

/** And then what is left to do: by the gate that was made for it. */
export const throughLost = (boundary: number): Program =>
  function* (held) {
    const restored = yield* restoreLostFences(held);
    return yield* moveBoundary(restored, BigInt(boundary), restored.attempt);
  };
