import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessWindow } from '../../domain/access.js';
import type {
  PlacementInput,
  PlacementNode,
  PlacementPartition,
  PlacementPolicy,
} from '../../domain/placement-input.js';
import { PlacementReason } from '../../domain/placement-reasons.js';
import { planMoves } from '../../domain/placement.js';
import type { PlannedDecision } from '../../domain/planned-decision.js';
import type { PartitionForecast } from '../../domain/predicted-score.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOW = 1_000 * HOUR;

const weights = { accessFrequency: 1, clientAffinity: 0, modificationRate: 0 };
const policy: PlacementPolicy = {
  migrationTrigger: 0.5,
  scoreWindowSteps: 1,
  minimumProbability: 0,
  minimumGain: 0.1,
  minimumRequests: 100,
  maxNodeLoad: 0.8,
  dwellMs: 2 * HOUR,
  coolDownMs: 10 * MINUTE,
  maxMovesPerHour: 10,
};

const node = (name: string, region: string, part: Partial<PlacementNode> = {}): PlacementNode => ({
  name,
  region,
  reachable: true,
  draining: false,
  opsPerSecond: 10,
  capacity: { opsPerSecond: 1000 },
  ...part,
});

/** Hourly forecast with intervals of ±10 %. */
const forecast = (requests: Readonly<Record<string, readonly number[]>>): PartitionForecast => ({
  start: NOW,
  stepMs: HOUR,
  level: 0.9,
  regions: Object.entries(requests).map(([region, mean]) => ({
    region,
    mean,
    lower: mean.map((value) => value * 0.9),
    upper: mean.map((value) => value * 1.1),
  })),
});

const windows = (requests: Readonly<Record<string, number>>): AccessWindow[] =>
  Object.entries(requests).map(([region, reads]) => ({
    partition: 'p',
    region,
    start: NOW - HOUR,
    reads,
    writes: 0,
    errors: 0,
    latencyMsSum: 0,
    latencyMsMax: 0,
    clients: [],
  }));

/** Owned by e1 in the east; used from there now, and forecast to be used from the west from the third hour on. */
const drifting = (name: string, part: Partial<PlacementPartition> = {}): PlacementPartition => ({
  name,
  owner: 'e1',
  weights,
  windows: windows({ east: 1000, west: 100 }),
  observedMs: HOUR,
  forecast: forecast({ east: [1000, 800, 300, 100, 100, 100], west: [100, 500, 900, 1500, 1500, 1500] }),
  ...part,
});

const nodes = [node('e1', 'east'), node('w1', 'west')];

const plan = (part: Partial<PlacementInput>): PlannedDecision[] =>
  planMoves({ partitions: [drifting('p')], nodes, policy, now: NOW, ...part });

const only = (decisions: readonly PlannedDecision[]): PlannedDecision => {
  expect(decisions).toHaveLength(1);
  return decisions[0] as PlannedDecision;
};

const whyNot = (decision: PlannedDecision): string => (decision.kind === 'stay' ? decision.whyNot.code : 'moves');

const rejectedCodes = (decision: PlannedDecision): Record<string, string> =>
  Object.fromEntries(decision.rejected.map((rejected) => [rejected.node, rejected.reason.code]));

describe('a partition whose use is about to go elsewhere', () => {
  it('moves to where it will be used, before the score has fallen', () => {
    const decision = only(plan({}));
    expect(decision).toMatchObject({
      kind: 'move',
      source: 'e1',
      target: 'w1',
      score: 1,
      crossingAt: NOW + 2 * HOUR,
      predictedScore: 0.4,
      gain: expect.closeTo((6000 - 2400) / 8400, 9) as number,
      requestsGained: expect.closeTo(3600, 6) as number,
    });
    expect(decision.probability).toBeGreaterThan(0.99);
    expect(decision.kind === 'move' && decision.why.map(({ code }) => code)).toEqual([
      PlacementReason.ScoreWillFall,
      PlacementReason.LocalityGain,
    ]);
  });

  it('says that the score is low already when it is', () => {
    const decision = only(plan({ partitions: [drifting('p', { windows: windows({ east: 10, west: 100 }) })] }));
    expect(decision).toMatchObject({ kind: 'move', score: 0.1, crossingAt: NOW, probability: 1 });
  });

  it('stays for one quiet step if the score window is longer', () => {
    const quietNight = forecast({ east: [1000, 1000, 100, 1000], west: [300, 300, 300, 300] });
    const partitions = [drifting('p', { forecast: quietNight })];
    expect(only(plan({ partitions })).crossingAt).toBe(NOW + 2 * HOUR);
    const decision = only(plan({ partitions, policy: { ...policy, scoreWindowSteps: 3 } }));
    expect(whyNot(decision)).toBe(PlacementReason.ScoreAboveTrigger);
  });
});

describe('a partition stays', () => {
  const cases: [string, PlacementReason, Partial<PlacementPartition>, Partial<PlacementPolicy>][] = [
    ['without a forecast', PlacementReason.TooLittleHistory, { forecast: undefined }, {}],
    ['without requests', PlacementReason.NoRequests, { windows: [] }, {}],
    ['while it moves', PlacementReason.AlreadyMoving, { movingTo: 'w1' }, {}],
    ['with an owner nobody knows', PlacementReason.SourceUnknown, { owner: 'gone' }, {}],
    ['for too few requests', PlacementReason.TooFewRequests, {}, { minimumRequests: 100_000 }],
    ['where its score stays high', PlacementReason.ScoreAboveTrigger, { forecast: forecast({ east: [500] }) }, {}],
    ['for too small a gain', PlacementReason.NoTarget, {}, { minimumGain: 0.9 }],
    ['within its dwell time', PlacementReason.DwellTime, { lastMovedAt: NOW - HOUR }, {}],
    ['when the moves of the hour are used up', PlacementReason.MovesPerHour, {}, { maxMovesPerHour: 0 }],
  ];
  it.each(cases)('%s', (_, code, partition, change) => {
    const decision = only(plan({ partitions: [drifting('p', partition)], policy: { ...policy, ...change } }));
    expect(whyNot(decision)).toBe(code);
  });

  it('when the probability is too low', () => {
    const unsure = forecast({ east: [100, 100], west: [100, 210] });
    const wide = { ...unsure, regions: unsure.regions.map((r) => ({ ...r, upper: r.mean.map((m) => m * 3) })) };
    const partitions = [drifting('p', { forecast: wide })];
    const decision = only(plan({ partitions, policy: { ...policy, minimumProbability: 0.9 } }));
    expect(whyNot(decision)).toBe(PlacementReason.ProbabilityTooLow);
    expect(decision.probability).toBeGreaterThan(0.5);
  });

  it('when its owner cannot be reached', () => {
    const decision = only(plan({ nodes: [node('e1', 'east', { reachable: false }), node('w1', 'west')] }));
    expect(whyNot(decision)).toBe(PlacementReason.SourceUnreachable);
  });

  it('when its requests come from a region without a node', () => {
    const partitions = [drifting('p', { forecast: forecast({ east: [100, 100], south: [900, 900] }) })];
    const decision = only(plan({ partitions }));
    expect(whyNot(decision)).toBe(PlacementReason.NoTarget);
    expect(rejectedCodes(decision)).toEqual({ w1: PlacementReason.GainTooSmall });
  });
});

describe('a target', () => {
  it('fulfils every hard goal, and the soft goals decide among the rest', () => {
    const decision = only(
      plan({
        nodes: [
          ...nodes,
          node('w2', 'west', { opsPerSecond: 5 }),
          node('w3', 'west', { reachable: false }),
          node('w4', 'west', { draining: true }),
          node('w5', 'west', { opsPerSecond: undefined }),
          node('w6', 'west', { opsPerSecond: 799.9 }),
          node('e2', 'east'),
        ],
      }),
    );
    expect(decision).toMatchObject({ kind: 'move', target: 'w2' });
    expect(rejectedCodes(decision)).toEqual({
      w1: PlacementReason.MoreLoad,
      w3: PlacementReason.NodeUnreachable,
      w4: PlacementReason.NodeDraining,
      w5: PlacementReason.LoadUnknown,
      w6: PlacementReason.LoadTooHigh,
      e2: PlacementReason.GainTooSmall,
    });
  });

  it('counts the moves under way to it and those picked before', () => {
    // The peak of each partition is 1,600 requests an hour, 0.44 a second.
    const tight = [node('e1', 'east'), node('w1', 'west', { opsPerSecond: 0, capacity: { opsPerSecond: 2 } })];
    const three = ['a', 'b', 'c', 'd'].map((name) => drifting(name));
    const moved = (partitions: PlacementPartition[]): string[] =>
      plan({ partitions, nodes: tight })
        .filter(({ kind }) => kind === 'move')
        .map(({ partition }) => partition);
    expect(moved(three)).toEqual(['a', 'b', 'c']);
    expect(moved([...three, drifting('under way', { movingTo: 'w1' })])).toEqual(['a', 'b']);
  });

  it('is left alone for a while after a partition has arrived', () => {
    const arrived = drifting('arrived', { owner: 'w1', lastMovedAt: NOW - MINUTE });
    const decision = plan({ partitions: [drifting('p'), arrived] }).find(({ partition }) => partition === 'p');
    expect(decision && rejectedCodes(decision)).toEqual({ w1: PlacementReason.NodeCoolingDown });
  });

  it('is not found in an empty cluster', () => {
    expect(whyNot(only(plan({ nodes: [node('e1', 'east')] })))).toBe(PlacementReason.NoTarget);
  });
});

describe('a plan', () => {
  it('puts the largest benefit first and gives it the last move of the hour', () => {
    const large = drifting('z', { forecast: forecast({ east: [1000, 0], west: [0, 9000] }) });
    const partitions = [drifting('a'), large, drifting('m', { lastMovedAt: NOW - 30 * MINUTE })];
    expect(plan({ partitions, policy: { ...policy, coolDownMs: 0 } }).map((d) => [d.partition, d.kind])).toEqual([
      ['z', 'move'],
      ['a', 'move'],
      ['m', 'stay'],
    ]);
    const capped = plan({ partitions, policy: { ...policy, coolDownMs: 0, maxMovesPerHour: 2 } });
    expect(capped.map((d) => [d.partition, whyNot(d)])).toEqual([
      ['z', 'moves'],
      ['a', PlacementReason.MovesPerHour],
      ['m', PlacementReason.DwellTime],
    ]);
  });

  it('refuses two partitions or nodes of one name, and a forecast that is none', () => {
    expect(() => plan({ partitions: [drifting('p'), drifting('p')] })).toThrow(/two partitions named p/);
    expect(() => plan({ nodes: [...nodes, node('w1', 'east')] })).toThrow(/two nodes named w1/);
    const uneven = forecast({ east: [1, 2], west: [1] });
    expect(() => plan({ partitions: [drifting('p', { forecast: uneven })] })).toThrow(/does not have 2 steps/);
    const broken = forecast({ east: [1, NaN] });
    expect(() => plan({ partitions: [drifting('p', { forecast: broken })] })).toThrow(/not finite/);
  });
});

describe('whatever the cluster looks like', () => {
  const regions = ['east', 'west', 'north'] as const;
  const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
  const anyNode = fc.record({
    region: fc.constantFrom(...regions),
    reachable: fc.boolean(),
    draining: fc.boolean(),
    opsPerSecond: maybe(fc.integer({ min: 0, max: 3 })),
    capacity: maybe(fc.record({ opsPerSecond: fc.integer({ min: 0, max: 5 }) })),
  });
  const means = fc.array(fc.nat(5000), { minLength: 4, maxLength: 4 });
  const anyPartition = fc.record({
    owner: fc.integer({ min: 0, max: 5 }),
    movingTo: maybe(fc.integer({ min: 0, max: 5 })),
    ago: maybe(fc.nat(5 * HOUR)),
    now: fc.tuple(fc.nat(500), fc.nat(500), fc.nat(500)),
    forecast: maybe(fc.tuple(means, means, means)),
  });
  const anyInput = fc
    .record({
      nodes: fc.array(anyNode, { minLength: 1, maxLength: 6 }),
      partitions: fc.array(anyPartition, { maxLength: 12 }),
      maxMovesPerHour: fc.integer({ min: 0, max: 6 }),
      coolDownMs: fc.constantFrom(0, HOUR),
    })
    .map(({ nodes: anyNodes, partitions, maxMovesPerHour, coolDownMs }): PlacementInput => {
      const named = anyNodes.map((part, i) => ({ name: `n${i}`, ...part }));
      const name = (i: number): string => `n${i % named.length}`;
      return {
        nodes: named,
        partitions: partitions.map((p, i): PlacementPartition => ({
          name: `p${i}`,
          owner: name(p.owner),
          weights,
          movingTo: p.movingTo === undefined ? undefined : name(p.movingTo),
          lastMovedAt: p.ago === undefined ? undefined : NOW - p.ago,
          windows: windows(Object.fromEntries(regions.map((region, r) => [region, p.now[r] ?? 0]))),
          observedMs: HOUR,
          forecast:
            p.forecast && forecast(Object.fromEntries(regions.map((region, r) => [region, p.forecast?.[r] ?? []]))),
        })),
        policy: { ...policy, maxMovesPerHour, coolDownMs },
        now: NOW,
      };
    });

  const perSecond = (requests: number): number => requests / 3600;
  const nowRate = (p: PlacementPartition): number => perSecond(p.windows.reduce((sum, w) => sum + w.reads, 0));
  const peak = (p: PlacementPartition): number => {
    const byStep = p.forecast?.regions[0]?.mean.map((_, step) =>
      (p.forecast?.regions ?? []).reduce((sum, { mean }) => sum + (mean[step] ?? 0), 0),
    );
    return Math.max(nowRate(p), ...(byStep ?? []).map(perSecond));
  };

  it('every partition gets one decision, and it keeps to the limits', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const decisions = planMoves(input);
        expect(decisions.map(({ partition }) => partition).sort()).toEqual(input.partitions.map((p) => p.name).sort());
        const moves = decisions.filter((d) => d.kind === 'move');
        const partition = (name: string): PlacementPartition =>
          input.partitions.find((p) => p.name === name) as PlacementPartition;

        for (const { partition: name, target, gain } of moves) {
          const moving = partition(name);
          expect(input.nodes.find((n) => n.name === target)).toMatchObject({ reachable: true, draining: false });
          expect(target).not.toBe(moving.owner);
          expect(moving.movingTo).toBeUndefined();
          expect(moving.forecast).toBeDefined();
          expect(NOW - (moving.lastMovedAt ?? 0)).toBeGreaterThanOrEqual(input.policy.dwellMs);
          expect(gain).toBeGreaterThanOrEqual(input.policy.minimumGain);
        }
        const benefits = moves.map(({ requestsGained }) => requestsGained);
        expect(benefits).toEqual([...benefits].sort((a, b) => b - a));

        const underWay = input.partitions.filter((p) => p.movingTo !== undefined).length;
        const ended = input.partitions.filter((p) => NOW - (p.lastMovedAt ?? 0) < HOUR).length;
        expect(moves.length).toBeLessThanOrEqual(Math.max(0, input.policy.maxMovesPerHour - underWay - ended));

        for (const target of new Set(moves.map((m) => m.target))) {
          const { opsPerSecond, capacity } = input.nodes.find((n) => n.name === target) as PlacementNode;
          if (capacity === undefined) continue;
          const growth = input.partitions
            .filter((p) => p.owner === target)
            .reduce((sum, p) => sum + peak(p) - nowRate(p), 0);
          const incoming = input.partitions
            .filter((p) => p.movingTo === target || moves.some((m) => m.partition === p.name && m.target === target))
            .reduce((sum, p) => sum + peak(p), 0);
          const load = (opsPerSecond ?? NaN) + growth + incoming;
          expect(load).toBeLessThan(capacity.opsPerSecond * input.policy.maxNodeLoad + 1e-9);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('the same plan comes out, in whatever order partitions and nodes are given', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const reversed = {
          ...input,
          partitions: [...input.partitions].reverse(),
          nodes: [...input.nodes].reverse(),
        };
        expect(planMoves(reversed)).toEqual(planMoves(input));
        expect(planMoves(input)).toEqual(planMoves(input));
      }),
    );
  });

  it('a higher least gain never leads to more moves of a single partition', () => {
    fc.assert(
      fc.property(anyInput, fc.double({ min: 0.1, max: 1, noNaN: true }), (input, minimumGain) => {
        for (const partition of input.partitions) {
          const alone = { ...input, partitions: [partition] };
          const moves = (of: PlacementInput): number => planMoves(of).filter((d) => d.kind === 'move').length;
          const stricter = { ...alone, policy: { ...input.policy, minimumGain } };
          expect(moves(stricter)).toBeLessThanOrEqual(moves(alone));
        }
      }),
    );
  });
});
