import { fork } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { startMongod, type MongodProcess } from '../../temporal-config/mongod.js';
import { identityOf } from '../../temporal-config/process-identity.js';
import { compiledFile } from '../../temporal-config/project-root.js';
import { attach, tether, type ServerProcess } from '../../temporal-config/server-process.js';
import { startTemporal, type TemporalProcess } from '../../temporal-config/temporal-server.js';
import { startWorkerProcess } from '../../temporal-config/worker-process.js';
import type { RouterOrder, RouterProcessInput, RouterReport } from './router-input.js';
import { INPUT_VARIABLE } from './router-input.js';

/** A process, or one of a set of them, that faults hit. It is known by what it does, and outlives its processes. */
export interface Victim {
  readonly name: string;
  /** Sends a signal to the process that does it now; to the primary, where there are several. */
  signal(signal: NodeJS.Signals): Promise<void>;
  /** Brings back what is not running. */
  restart(): Promise<void>;
  isRunning(): boolean;
  /** Ends whatever does it now, also when that is paused. */
  stop(): Promise<void>;
}

/** A MongoDB server: of three members, the primary is hit. */
export class MongoVictim implements Victim {
  private stopped: ServerProcess | undefined;

  constructor(
    readonly name: string,
    private server: MongodProcess,
    /** Past all proxies. */
    private readonly client: MongoClient,
  ) {}

  get members(): number {
    return this.server.members.length;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    if (signal === 'SIGCONT') {
      this.stopped?.kill('SIGCONT');
      this.stopped = undefined;
      return;
    }
    const member = await this.primary();
    if (signal === 'SIGSTOP') this.stopped = member;
    member.kill(signal);
  }

  /** Has another member elected. */
  async stepDown(): Promise<void> {
    // The primary closes the connection when it does as it was told.
    await this.client
      .db('admin')
      .command({ replSetStepDown: 5, secondaryCatchUpPeriodSecs: 2, force: true })
      .catch(() => undefined);
  }

  async restart(): Promise<void> {
    this.server = await startMongod({ name: this.server.name, dir: this.server.dir });
  }

  isRunning(): boolean {
    return this.server.members.every((member) => member.isRunning());
  }

  async stop(): Promise<void> {
    this.server.kill('SIGCONT');
    await this.server.stop();
  }

  private async primary(): Promise<ServerProcess> {
    const { members } = this.server;
    if (members.length === 1) return members[0]!;
    const { primary } = await this.client.db('admin').command({ hello: 1 });
    return members.find(({ port }) => String(primary).endsWith(`:${port}`)) ?? members[0]!;
  }
}

export class TemporalVictim implements Victim {
  readonly name = 'temporal';

  constructor(private server: TemporalProcess) {}

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.server.kill(signal);
    return Promise.resolve();
  }

  async restart(): Promise<void> {
    this.server = await startTemporal({ dir: this.server.dir, ui: false });
  }

  isRunning(): boolean {
    return this.server.isRunning();
  }

  async stop(): Promise<void> {
    this.server.kill('SIGCONT');
    await this.server.stop();
  }
}

/** A worker that reaches every server by ways of its own. */
export class WorkerVictim implements Victim {
  private process: ServerProcess | undefined;

  constructor(
    readonly name: string,
    private readonly directory: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.process?.kill(signal);
    return Promise.resolve();
  }

  async restart(): Promise<void> {
    if (this.isRunning()) return;
    const log = join(this.directory, 'logs', `${this.name}.log`);
    this.process = await startWorkerProcess({ directory: this.directory, log, env: this.env });
  }

  isRunning(): boolean {
    return this.process?.isRunning() ?? false;
  }

  async stop(): Promise<void> {
    this.process?.kill('SIGCONT');
    await this.process?.stop();
  }
}

const ANSWER_TIMEOUT_MS = 60_000;

/** An application: each of its processes has a name and a history of its own. */
export class RouterVictim implements Victim {
  private process: ServerProcess | undefined;
  private child: ReturnType<typeof fork> | undefined;
  private generation = 0;
  private connected = false;

  constructor(
    readonly name: string,
    private readonly directory: string,
    private readonly input: Omit<RouterProcessInput, 'name' | 'history'>,
  ) {}

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.process?.kill(signal);
    return Promise.resolve();
  }

  async restart(): Promise<void> {
    if (this.isRunning()) return;
    const name = `${this.name}.${++this.generation}`;
    const input: RouterProcessInput = {
      ...this.input,
      name,
      history: join(this.directory, 'histories', `${name}.jsonl`),
      seed: this.input.seed + 1_000 * this.generation,
    };
    const log = openSync(join(this.directory, 'logs', `${this.name}.log`), 'a');
    this.connected = false;
    const child = fork(compiledFile('test/torture/router-process.js'), {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, [INPUT_VARIABLE]: JSON.stringify(input) },
    });
    child.on('message', (report: RouterReport) => (this.connected ||= report === 'connected'));
    child.on('error', () => undefined); // sending to one that was killed
    tether(child, child.pid!);
    this.child = child;
    this.process = attach(identityOf(child.pid!)!);
    return Promise.resolve();
  }

  isRunning(): boolean {
    return this.process?.isRunning() ?? false;
  }

  async untilConnected(): Promise<void> {
    const deadline = performance.now() + ANSWER_TIMEOUT_MS;
    while (!this.connected) {
      if (performance.now() > deadline) throw new Error(`${this.name} does not connect`);
      await sleep(20);
    }
  }

  /** Returns when no request is under way any more. */
  async quiet(order: 'pause' | 'stop'): Promise<void> {
    if (!this.isRunning()) return;
    const child = this.child!;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`requests of ${this.name} are not answered within ${ANSWER_TIMEOUT_MS / 1000} s`)),
        ANSWER_TIMEOUT_MS,
      );
      child.on('message', (report: RouterReport) => {
        if (report !== 'quiet') return;
        clearTimeout(timer);
        resolve();
      });
      child.send(order satisfies RouterOrder);
    });
  }

  resume(): void {
    if (this.isRunning()) this.child!.send('resume' satisfies RouterOrder);
  }

  async stop(): Promise<void> {
    this.process?.kill('SIGKILL');
    return Promise.resolve();
  }
}
