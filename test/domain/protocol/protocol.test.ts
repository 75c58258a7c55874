import { describe, expect, it } from 'vitest';
import { exploreScenario } from './model.js';
import { SCENARIOS } from './scenarios.js';

/**
 * Within its bounds, every order of events: see world.ts for what there is, movers.ts, routers.ts and followers.ts for what
 * can happen, model.ts for what must hold. That it would notice is in mutations.test.ts.
 */
describe('in every order of events', () => {
  it.each(Object.entries(SCENARIOS))('%s: one owner, nothing lost, nothing left half-done', (name, scenario) => {
    const { states, actions, ends, violation } = exploreScenario(scenario);
    // eslint-disable-next-line no-console -- the figures are part of the result
    console.log(`${name}: ${states} states, ${actions} actions, ${ends} ends`);
    expect(violation).toBeNull();
    expect(ends).toBeGreaterThan(20);
  });
});
