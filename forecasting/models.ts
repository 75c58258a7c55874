import { ets } from './ets.js';
import { level } from './level.js';
import type { ForecastModel, ModelFamily } from './model.js';
import { mstl } from './mstl.js';
import { profile } from './profile.js';
import { seasonalNaive } from './seasonal-naive.js';

/** Families that race by default, simplest first. */
export const DEFAULT_FAMILIES: readonly ModelFamily[] = [seasonalNaive, level, profile, ets, mstl];

/**
 * All families, by the names under which the policy knows them. ARIMA and Prophet cost many times as much as all others
 * together and win next to nothing in a race with them: they, and their large modules, are loaded where they are named.
 */
const FAMILIES = {
  'seasonal-naive': () => Promise.resolve(seasonalNaive),
  level: () => Promise.resolve(level),
  profile: () => Promise.resolve(profile),
  ets: () => Promise.resolve(ets),
  mstl: () => Promise.resolve(mstl),
  arima: async () => (await import('./arima.js')).arima,
  prophet: async () => (await import('./prophet.js')).prophet,
} as const satisfies Readonly<Record<string, () => Promise<ModelFamily>>>;

export type FamilyName = keyof typeof FAMILIES;

const isFamily = (name: string): name is FamilyName => Object.hasOwn(FAMILIES, name);

/** What is not known (by this version) is left out. */
export const familiesNamed = (names: readonly string[]): Promise<ModelFamily[]> =>
  Promise.all(names.filter(isFamily).map((name) => FAMILIES[name]()));

/** The models of these families for a series with these seasons; the seasonal naive is always the first of them. */
export function modelsFor(families: readonly ModelFamily[], seasons: readonly number[]): readonly ForecastModel[] {
  const others = families.filter((family) => family !== seasonalNaive);
  return [seasonalNaive, ...others].flatMap((family) => family(seasons));
}
