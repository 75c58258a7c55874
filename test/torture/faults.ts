import { setTimeout as sleep } from 'node:timers/promises';
import { random } from '../../examples/random.js';
import type { TortureCluster } from './cluster.js';
import type { Moment, Moments } from './moments.js';
import { MOMENTS } from './moments.js';
import type { Mover } from './mover.js';
import type { Victim } from './victims.js';
import { MongoVictim } from './victims.js';

export const FAULT_KINDS = [
  'killWorker',
  'pauseWorker',
  'killRouter',
  'pauseRouter',
  'killSource',
  'pauseSource',
  'killTarget',
  'pauseTarget',
  'killCatalog',
  'pauseCatalog',
  'killTemporal',
  'pauseTemporal',
  'cut',
  'delay',
  'stepDownNode',
  'stepDownCatalog',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Longer than every lease, heartbeat and time-out of a step. */
const PAUSE_MS = { least: 8_500, most: 11_000 };
const DOWN_MS = { least: 200, most: 5_000 };
const NETWORK_MS = { least: 1_000, most: 9_000 };
const DELAY_MS = { least: 200, most: 2_000 };
const GAP_MS = { least: 100, most: 2_500 };
/** A moment that does not come within this time is not waited for. */
const MOMENT_TIMEOUT_MS = 8_000;
const AT_ONCE = 3;
/** Share of the faults that wait for a named point of a migration. */
const AIMED = 0.6;
/** How many of these points each waits for, whichever comes first. */
const AIMS = 3;
/** Pauses last longest: as often as the others, they would be most of what there is. */
const PAUSES_KEPT = 0.35;
const WATCH_MS = 250;

export interface FaultCounts {
  total: number;
  readonly kinds: Record<string, number>;
  /** How many were fired at a named point of a migration. */
  readonly moments: Record<string, number>;
}

class Chance {
  constructor(readonly next: () => number) {}

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.next() * choices.length)]!;
  }

  between({ least, most }: { readonly least: number; readonly most: number }): number {
    return Math.round(least + this.next() * (most - least));
  }
}

/** A fault that has been chosen: what it hits, and what it does from beginning to end. */
interface Fault {
  readonly kind: string;
  readonly victim: string;
  run(): Promise<void>;
}

/** Throws faults, at random times and at named points of migrations, until it is told to stop. All chance is from the seed. */
export class Faults {
  readonly counts: FaultCounts = { total: 0, kinds: {}, moments: {} };
  private running = true;
  /** Victims that a fault has its hands on; nobody else restarts them. */
  private readonly held = new Set<string>();
  private readonly stopping = new AbortController();
  private readonly done: Promise<unknown>;
  private readonly watching: Promise<void>;
  private watched = true;

  constructor(
    private readonly cluster: TortureCluster,
    private readonly movers: readonly Mover[],
    private readonly moments: Moments,
    seed: number,
    private readonly log: (line: string) => void,
    private readonly kinds: readonly FaultKind[] = FAULT_KINDS,
  ) {
    this.done = Promise.all(Array.from({ length: AT_ONCE }, (_, i) => this.run(random(seed + i))));
    this.watching = this.watch();
  }

  /** Throws no more, and returns when all that were thrown are over: everything runs again, every way is open. */
  async lift(): Promise<void> {
    this.running = false;
    this.stopping.abort();
    await this.done;
  }

  async stop(): Promise<void> {
    await this.lift();
    this.watched = false;
    await this.watching;
  }

  /** One fault after the other; there are several of these side by side, each with a stream of chance of its own. */
  private async run(next: () => number): Promise<void> {
    if (this.kinds.length === 0) return;
    const chance = new Chance(next);
    while (this.running) {
      await this.pass(chance.between(GAP_MS));
      const kind = chance.pick(this.kinds);
      if (kind.startsWith('pause') && next() > PAUSES_KEPT) continue;
      const aims = next() < AIMED ? Array.from({ length: AIMS }, () => chance.pick(MOMENTS)) : [];
      const hit = aims.length > 0 ? await this.moments.next(aims, MOMENT_TIMEOUT_MS) : undefined;
      const fault = this.choose(kind, chance);
      if (!this.running || fault === undefined || this.held.has(fault.victim)) continue;
      await this.perform(fault, hit);
    }
  }

  private async perform(fault: Fault, moment: Moment | undefined): Promise<void> {
    const { kind, victim } = fault;
    this.counts.total += 1;
    this.counts.kinds[kind] = (this.counts.kinds[kind] ?? 0) + 1;
    if (moment !== undefined) this.counts.moments[moment] = (this.counts.moments[moment] ?? 0) + 1;
    this.log(`  ${kind} ${victim}${moment === undefined ? '' : ` at ${moment}`}`);
    this.held.add(victim);
    try {
      await fault.run();
    } catch (error) {
      this.log(`  ${kind} ${victim} failed: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      this.held.delete(victim);
    }
  }

  private choose(kind: FaultKind, chance: Chance): Fault | undefined {
    const { workers, routers, mongos, temporal, links } = this.cluster;
    const { source = 'us-1', target = 'eu-1' } = chance.pick(this.movers).current ?? {};
    switch (kind) {
      case 'killWorker':
        return this.kill(chance, chance.pick(workers), kind);
      case 'pauseWorker':
        return this.pause(chance, chance.pick(workers), kind);
      case 'killRouter':
        return this.kill(chance, chance.pick(routers), kind);
      case 'pauseRouter':
        return this.pause(chance, chance.pick(routers), kind);
      case 'killSource':
        return this.kill(chance, mongos[source]!, kind);
      case 'pauseSource':
        return this.pause(chance, mongos[source]!, kind);
      case 'killTarget':
        return this.kill(chance, mongos[target]!, kind);
      case 'pauseTarget':
        return this.pause(chance, mongos[target]!, kind);
      case 'killCatalog':
        return this.kill(chance, mongos.catalog, kind);
      case 'pauseCatalog':
        return this.pause(chance, mongos.catalog, kind);
      case 'killTemporal':
        return this.kill(chance, temporal, kind);
      case 'pauseTemporal':
        return this.pause(chance, temporal, kind);
      case 'stepDownNode':
        return this.stepDown(mongos[chance.pick([source, target])]!, kind);
      case 'stepDownCatalog':
        return this.stepDown(mongos.catalog, kind);
      case 'cut': {
        const [link, silently, forMs] = [chance.pick(links), chance.next() < 0.5, chance.between(NETWORK_MS)];
        const run = async () => {
          await (silently ? link.swallow() : link.refuse());
          await this.pass(forMs);
          await link.restore();
        };
        return { kind, victim: link.name, run };
      }
      case 'delay': {
        const [link, ms, forMs] = [chance.pick(links), chance.between(DELAY_MS), chance.between(NETWORK_MS)];
        const run = async () => {
          await link.delay(ms);
          await this.pass(forMs);
          await link.restore();
        };
        return { kind, victim: link.name, run };
      }
    }
  }

  private kill(chance: Chance, victim: Victim, kind: FaultKind): Fault {
    const downMs = chance.between(DOWN_MS);
    const isPrimary = victim instanceof MongoVictim && victim.members > 1;
    const run = async () => {
      await victim.signal('SIGKILL');
      await this.pass(downMs);
      await this.bringBack(victim);
    };
    return { kind: isPrimary ? `${kind}Primary` : kind, victim: victim.name, run };
  }

  private pause(chance: Chance, victim: Victim, kind: FaultKind): Fault {
    const pausedMs = chance.between(PAUSE_MS);
    const run = async () => {
      await victim.signal('SIGSTOP');
      // To the end, also when faults are being lifted: what a pause is for is that others go on without it.
      await sleep(pausedMs);
      await victim.signal('SIGCONT');
    };
    return { kind, victim: victim.name, run };
  }

  private stepDown(victim: MongoVictim, kind: FaultKind): Fault | undefined {
    if (victim.members === 1) return undefined;
    return { kind, victim: victim.name, run: () => victim.stepDown() };
  }

  /** As whatever looks after processes would: again and again, as a process may need a server that is away. */
  private async bringBack(victim: Victim): Promise<void> {
    for (;;) {
      try {
        return await victim.restart();
      } catch (error) {
        this.log(`  ${victim.name} does not start yet: ${error instanceof Error ? error.message : String(error)}`);
        await sleep(WATCH_MS);
      }
    }
  }

  /** Starts again what has ended by itself. */
  private async watch(): Promise<void> {
    const { workers, routers } = this.cluster;
    while (this.watched) {
      await sleep(WATCH_MS);
      for (const victim of [...workers, ...routers]) {
        if (this.held.has(victim.name) || victim.isRunning()) continue;
        this.log(`  ${victim.name} has ended by itself`);
        this.held.add(victim.name);
        await this.bringBack(victim).finally(() => this.held.delete(victim.name));
      }
    }
  }

  /** Waits, but not when faults are being lifted. */
  private async pass(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}
