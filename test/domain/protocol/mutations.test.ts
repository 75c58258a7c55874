import { describe, expect, it } from 'vitest';
import { exploreScenario } from './model.js';
import { CARELESS, FORGOTTEN, NOT_NEEDED } from './mutations.js';

describe('what the protocol consists of is needed: the exploration finds what goes wrong without', () => {
  it.each([...FORGOTTEN, ...CARELESS])('%s', (name, scenario) => {
    const { states, violation } = exploreScenario(scenario);
    // eslint-disable-next-line no-console -- the figures are part of the result
    console.log(`${name}: ${violation?.problem}, after ${violation?.trace.length} actions; ${states} states`);
    expect(violation?.trace.length).toBeGreaterThan(0);
  });
});

describe('what only makes it better: nothing goes wrong without', () => {
  it.each(NOT_NEEDED)('%s', (_name, scenario) => {
    expect(exploreScenario(scenario).violation).toBeNull();
  });
});
