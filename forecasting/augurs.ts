import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { AutoETS, initSync as initEts } from '@bsull/augurs/ets';
import { MSTL, initSync as initMstl } from '@bsull/augurs/mstl';

/**
 * The augurs models are WASM, one module for each. In Node they are started from their bytes, once a process (and once
 * a worker thread), at first use; synchronously, so that a model is a plain function.
 */
const require = createRequire(import.meta.url);

export const wasmBytes = (module: string): Buffer =>
  readFileSync(require.resolve(`@bsull/augurs/${module}`).replace(/\.js$/, '_bg.wasm'));

let etsReady = false;
let mstlReady = false;

/** Exponential smoothing, the best of the models that `spec` allows: error, trend, season (A, M, N; Z for any). */
export function autoEts(spec: string): AutoETS {
  if (!etsReady) {
    initEts({ module: wasmBytes('ets') });
    etsReady = true;
  }
  return new AutoETS(1, spec);
}

/** Multiple seasonal-trend decomposition by Loess, with exponential smoothing for the trend. */
export function mstlWithEts(seasons: readonly number[]): MSTL {
  if (!mstlReady) {
    initMstl({ module: wasmBytes('mstl') });
    mstlReady = true;
  }
  return MSTL.ets(Uint32Array.from(seasons));
}
