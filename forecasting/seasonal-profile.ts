import type { Series } from './model.js';

/**
 * How far each phase of a season lies above or below the series' level, by classical additive decomposition.
 *
 * The complete seasons at the end of the series are levelled, each by its own mean and by the average slope from
 * season to season; the profile is the mean over the seasons, phase by phase. It is then shrunk towards 0 by how much
 * of it noise alone would explain (positive-part James-Stein), so that a thin series does not get a season made of
 * noise.
 *
 * `profile[i]` belongs to the step that lies `i` steps after the end of the series, modulo the season.
 */
export function seasonalProfile(series: Series, season: number): number[] {
  const cycles = Math.floor(series.length / season);
  if (season < 2 || cycles < 2) return new Array<number>(Math.max(1, season)).fill(0);
  const start = series.length - cycles * season;
  const value = (cycle: number, phase: number): number => series[start + cycle * season + phase] ?? 0;

  const levels = Array.from({ length: cycles }, (_, cycle) => {
    let sum = 0;
    for (let phase = 0; phase < season; phase++) sum += value(cycle, phase);
    return sum / season;
  });
  const slope = ((levels[cycles - 1] ?? 0) - (levels[0] ?? 0)) / ((cycles - 1) * season);
  const levelled = (cycle: number, phase: number): number =>
    value(cycle, phase) - (levels[cycle] ?? 0) - slope * (phase - (season - 1) / 2);

  const profile: number[] = [];
  let noise = 0;
  for (let phase = 0; phase < season; phase++) {
    let sum = 0;
    for (let cycle = 0; cycle < cycles; cycle++) sum += levelled(cycle, phase);
    const mean = sum / cycles;
    for (let cycle = 0; cycle < cycles; cycle++) noise += (levelled(cycle, phase) - mean) ** 2;
    profile.push(mean);
  }
  const varianceOfMean = noise / (season * (cycles - 1)) / cycles;
  const varianceOfProfile = profile.reduce((sum, mean) => sum + mean * mean, 0) / season;
  const kept = varianceOfProfile > 0 ? Math.max(0, 1 - varianceOfMean / varianceOfProfile) : 0;
  return profile.map((mean) => mean * kept);
}

/** The series without its seasons, and what to add to a forecast of the rest at each step ahead. */
export interface Deseasonalised {
  readonly rest: Float64Array;
  readonly seasonAt: (step: number) => number;
}

/** Takes out the seasons one after the other, shortest first, so that a longer one holds only what it adds. */
export function deseasonalise(series: Series, seasons: readonly number[]): Deseasonalised {
  const rest = Float64Array.from(series);
  const profiles: number[][] = [];
  for (const season of [...seasons].sort((a, b) => a - b)) {
    const profile = seasonalProfile(rest, season);
    profiles.push(profile);
    for (let t = 0; t < rest.length; t++) {
      rest[t] = (rest[t] ?? 0) - (profile[modulo(t - rest.length, season)] ?? 0);
    }
  }
  return {
    rest,
    seasonAt: (step) => profiles.reduce((sum, profile) => sum + (profile[step % profile.length] ?? 0), 0),
  };
}

const modulo = (a: number, n: number): number => ((a % n) + n) % n;
