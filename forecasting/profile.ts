import { medianInPlace, medianOf } from './median.js';
import type { ForecastModel, ModelFamily, Series } from './model.js';

/** How a profile is made, and what is done with the distance between it and the last values. */
interface ProfileOptions {
  readonly average: 'mean' | 'median';
  /** Hours (of a day as the shortest season) to either side over which the profile is smoothed. */
  readonly smoothing: number;
  /** Whether each season's level is taken out first, so that a shift of the level does not bend the profile. */
  readonly levelled?: boolean;
  /** Hours over which the distance of the last values from the profile is read. */
  readonly recent?: number;
  /** Share of that distance that is left after an hour; without it, the profile alone is the forecast. */
  readonly kept?: number;
}

/**
 * What is usual at this time of the season, from all seasons of the history, and how far the last hours were from it.
 *
 * Medians over seasons do not see bursts and dead sensors, means use quiet noisy series better, levelled profiles
 * follow a shift: the backtest says which of them a series needs.
 */
export const profile: ModelFamily = (seasons) => {
  const [shortest, ...longer] = seasons;
  const longest = longer.at(-1);
  return [
    ...(shortest === undefined
      ? []
      : [
          ofSeason('profile', shortest, { average: 'median', smoothing: 0.25 }),
          ofSeason('profile-mean', shortest, { average: 'mean', smoothing: 0 }),
          ofSeason('profile-decaying', shortest, { average: 'median', smoothing: 0.25, recent: 0.5, kept: 0.8 }),
          ofSeason('profile-following', shortest, { average: 'median', smoothing: 0.25, recent: 0.5, kept: 0.95 }),
          ofSeason('profile-mean-decaying', shortest, { average: 'mean', smoothing: 0.25, recent: 3, kept: 0.8 }),
          ofSeason('profile-levelled', shortest, { ...LEVELLED, recent: 24 }),
          ofSeason('profile-levelled-3', shortest, { ...LEVELLED, recent: 3 }),
        ]),
    ...(longest === undefined
      ? []
      : [
          ofSeason('profile-long', longest, { average: 'median', smoothing: 0 }),
          ofSeason('profile-long-mean', longest, { average: 'mean', smoothing: 0 }),
          ofSeason('profile-long-decaying', longest, { average: 'mean', smoothing: 0, recent: 3, kept: 0.8 }),
        ]),
  ];
};

const LEVELLED = { average: 'median', smoothing: 0.25, levelled: true, kept: 1 } as const;

function ofSeason(name: string, season: number, options: ProfileOptions): ForecastModel {
  return {
    name,
    forecast: (series, { horizon, unit }) => {
      const { levelled = false, recent = 0, kept = 0 } = options;
      const usual = sharedProfile(series, season, {
        average: options.average,
        smoothing: Math.min(season >> 2, Math.round(options.smoothing * unit)),
        levelled,
      });
      const distance = kept > 0 ? recentDistance(series, usual, Math.max(1, Math.round(recent * unit))) : 0;
      return Float64Array.from(
        { length: horizon },
        (_, step) => usual[step % season]! + distance * kept ** ((step + 1) / unit),
      );
    },
  };
}

/** Several models make different things of the same profile; it stays known for as long as somebody has the series. */
const PROFILES = new WeakMap<Series, Map<string, Float64Array>>();

function sharedProfile(
  series: Series,
  season: number,
  { average, smoothing, levelled }: Required<Pick<ProfileOptions, 'average' | 'smoothing' | 'levelled'>>,
): Float64Array {
  const known = PROFILES.get(series) ?? new Map<string, Float64Array>();
  PROFILES.set(series, known);
  const key = `${season}/${average}/${smoothing}/${levelled}`;
  const found =
    known.get(key) ??
    seasonalProfile(levelled ? withoutLevels(series, season) : series, season, { average, smoothing });
  known.set(key, found);
  return found;
}

/**
 * Mean or median at each phase over all seasons, smoothed over `smoothing` steps to either side, twice. `profile[i]`
 * belongs to the step that lies `i` steps after the end of the series, modulo the season.
 *
 * @throws Error if the series is shorter than a season
 */
export function seasonalProfile(
  series: Series,
  season: number,
  { average, smoothing }: { readonly average: 'mean' | 'median'; readonly smoothing: number },
): Float64Array {
  const { length } = series;
  const seasons = Math.floor(length / season);
  if (seasons < 1) throw new Error(`needs ${season} values, has ${length}`);
  const found = new Float64Array(seasons);
  const profile = new Float64Array(season);
  for (let phase = 0; phase < season; phase++) {
    let sum = 0;
    for (let i = 0; i < seasons; i++) {
      found[i] = series[length - (seasons - i) * season + phase]!;
      sum += found[i]!;
    }
    profile[phase] = average === 'mean' ? sum / seasons : medianInPlace(found, seasons);
  }
  return smoothed(smoothed(profile, smoothing), smoothing);
}

/** Moving average around the season. */
function smoothed(profile: Float64Array, width: number): Float64Array {
  if (width === 0) return profile;
  const season = profile.length;
  const at = (phase: number) => profile[(phase + season) % season]!;
  let sum = 0;
  for (let phase = -width; phase <= width; phase++) sum += at(phase);
  return profile.map((_, phase) => {
    const mean = sum / (2 * width + 1);
    sum += at(phase + width + 1) - at(phase - width);
    return mean;
  });
}

/** The complete seasons at the end of the series, each less its own median. */
function withoutLevels(series: Series, season: number): Float64Array {
  const levelled = series.slice(series.length % season);
  for (let start = 0; start < levelled.length; start += season) {
    const level = medianOf(levelled, start, start + season);
    for (let at = start; at < start + season; at++) levelled[at]! -= level;
  }
  return levelled;
}

/** Median of how far the last values lay above the profile. */
function recentDistance(series: Series, profile: Float64Array, recent: number): number {
  const season = profile.length;
  const count = Math.min(recent, series.length);
  const distances = Float64Array.from({ length: count }, (_, i) => {
    const ago = i + 1;
    return series[series.length - ago]! - profile[(season - (ago % season)) % season]!;
  });
  return medianInPlace(distances, count);
}
