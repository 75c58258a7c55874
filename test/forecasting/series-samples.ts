/** Series with known properties; the noise is a fixed pseudo-random sequence, so every run sees the same values. */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `level + slope * t`, a sine of the season's length, and noise of ± `spread`; not below 0. */
export function seasonal(
  length: number,
  { season = 24, level = 50, amplitude = 20, slope = 0, spread = 0, seed = 1 } = {},
): number[] {
  const random = noise(seed);
  return Array.from({ length }, (_, t) =>
    Math.max(0, level + slope * t + amplitude * Math.sin((2 * Math.PI * t) / season) + spread * (2 * random() - 1)),
  );
}
