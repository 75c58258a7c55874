import cliProgress from 'cli-progress';
import { DroverError } from '../../domain/errors.js';
import type { ControlContext } from '../context.js';
import type { WorkFigures } from '../../store/catalog/migrations.js';
import type { MigrationFigures } from '../migration-figures.js';
import type { MigrationStatus } from '../migration-status.js';
import { ago, count, duration, facts, milliseconds, size, some, table } from './presentation.js';
import type { Terminal } from './terminal.js';

/** A migration for people: once, or followed to its end. */

/** Share of the whole at which a phase begins, in percent: from experience, for the bar alone. */
const BEGINS_AT: Readonly<Record<string, number>> = {
  validate: 0,
  admission: 0,
  shadow: 1,
  backfill: 2,
  replicate: 50,
  verify: 55,
  approval: 75,
  cutover: 75,
  soak: 95,
  retire: 98,
  completed: 100,
};

export function describeMigration(status: MigrationStatus): string {
  const { keyspace, partition, steps, state, weights } = status;
  const parts = [
    facts([
      ['migration', `${keyspace}/${partition} from ${status.source} to ${status.target}`],
      ['state', headline(status)],
      ['why', status.error],
      [
        'load',
        `${Math.round(status.weight)} % at ${status.target}${weights.length > 0 ? `, then ${weights.join(', ')} %` : ''}`,
      ],
      ['copied', copied(status)],
      ['compared', status.compared === 0 ? undefined : some(status.compared, 'document')],
      ...spokenFigures(status),
      [
        'longest pause',
        steps.length === 0 ? undefined : `${milliseconds(status.pauseMsMax)} in ${some(steps.length, 'step')}`,
      ],
      ['asked by', `${status.requestedBy}${status.reason === undefined ? '' : `: ${status.reason}`}`],
      ['decision', status.decision],
      ['started', `${ago(status.startedAt)}${status.endedAt === undefined ? '' : `, took ${tookMs(status)}`}`],
      ['workflow', status.workflowId],
    ]),
  ];
  if (steps.length > 0) {
    parts.push(
      '',
      table(
        steps,
        [
          { title: 'step', value: ({ direction }) => direction },
          { title: 'load at target', value: ({ weight }) => `${weight.toFixed(1)} %`, right: true },
          { title: 'writes paused', value: ({ pauseMs }) => milliseconds(pauseMs), right: true },
          { title: 'epoch', value: ({ epoch }) => epoch, right: true },
          { title: 'when', value: ({ at }) => ago(at) },
        ],
        '',
      ),
    );
  }
  const advice = whatToDo(status);
  if (state === 'running' && advice !== undefined) parts.push('', advice);
  return parts.join('\n');
}

const tookMs = ({ startedAt, endedAt }: MigrationStatus): string =>
  duration((endedAt?.getTime() ?? Date.now()) - startedAt.getTime());

function headline({ state, phase, paused, waitingFor, abandoned }: MigrationStatus): string {
  if (abandoned) return `abandoned in phase ${phase}`;
  if (state !== 'running') return state === 'rolledBack' ? 'rolled back' : state;
  if (waitingFor === 'approve') return 'waits for approval';
  if (waitingFor !== undefined) return `${phase}, waits for ${waitingFor}`;
  return paused ? `${phase}, pauses at the next safe point` : phase;
}

function copied({ documents, bytes, documentsTotal }: MigrationStatus): string {
  const of = documentsTotal === undefined ? '' : ` of about ${count(documentsTotal)}`;
  return `${count(documents)}${of} documents (${size(bytes)})`;
}

/** How far it is within its phase: names and values. */
export function spokenFigures({ work, lagSeconds, secondsLeft }: MigrationFigures): [string, string | undefined][] {
  return [
    ['now', work === undefined ? undefined : `${work.phase}: ${spokenWork(work)}`],
    ['pace', work === undefined ? undefined : spokenPace(work)],
    [
      'behind',
      lagSeconds === undefined ? undefined : `replication, by ${lagSeconds < 1 ? 'less than 1' : lagSeconds} s`,
    ],
    ['time left', spokenTimeLeft(secondsLeft)],
  ];
}

function spokenWork({ done, inAll, bytes, bytesInAll }: WorkFigures): string {
  if (bytes === undefined) return `${Math.floor((100 * done) / Math.max(1, inAll))} %`;
  return `${count(done)} of about ${count(inAll)} documents, ${size(bytes)} of ${size(bytesInAll)}`;
}

function spokenPace({ done, bytes, perSecond }: WorkFigures): string | undefined {
  if (perSecond === undefined || bytes === undefined) return undefined;
  return `${count(perSecond)} documents/s, ${size((perSecond * bytes) / Math.max(1, done))}/s`;
}

const spokenTimeLeft = (seconds: number | undefined): string | undefined =>
  seconds === undefined ? undefined : `about ${duration(seconds * 1000)}`;

/** The next command, where the migration waits for a person. */
function whatToDo(status: MigrationStatus): string | undefined {
  const which = `${status.keyspace} ${status.partition}`;
  if (status.abandoned) {
    return `Its workflow ${status.workflowId} was ended from outside: within seconds a worker has another one end the migration ("drover doctor --repair" does so at once).`;
  }
  if (status.unconfirmed !== undefined)
    return `Its workflow could not be asked, so this is what the catalog says: ${status.unconfirmed}`;
  if (status.waitingFor === 'approve')
    return `Go on with "drover migration approve ${which}", or give up with "drover migration abort ${which}".`;
  if (status.paused) return `Go on with "drover migration resume ${which}".`;
  if (status.phase === 'soak')
    return `Until it retires the old copy, "drover migration rollback ${which}" takes everything back.`;
  return undefined;
}

/**
 * Follows a migration until it has ended.
 *
 * @throws DroverError `TimedOut` after `timeoutMs`; the migration goes on
 */
export async function followToTheEnd(
  control: ControlContext,
  terminal: Terminal,
  { keyspace, partition, timeoutMs = Infinity }: { keyspace: string; partition: string; timeoutMs?: number },
): Promise<MigrationStatus> {
  const { followMigration } = await import('../migration-status.js');
  const display = terminal.interactive ? new Bar() : new Lines(terminal);
  const goesOn = `The move goes on. "drover migration show ${keyspace} ${partition}" follows it.`;
  const interrupted = () => {
    display.end();
    terminal.note(goesOn);
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  const deadline = performance.now() + timeoutMs;
  let last: MigrationStatus | undefined;
  try {
    for await (const status of followMigration(control, keyspace, partition)) {
      display.show(status);
      last = status;
      if (status.state === 'running' && performance.now() > deadline) {
        throw new DroverError(
          'TimedOut',
          `${keyspace}/${partition} is still moving after ${duration(timeoutMs)} (${headline(status)}). ${goesOn}`,
        );
      }
    }
  } finally {
    process.off('SIGINT', interrupted);
    display.end();
  }
  return last!;
}

interface Display {
  show(status: MigrationStatus): void;
  end(): void;
}

class Bar implements Display {
  private readonly bar = new cliProgress.SingleBar({
    format: '{bar} {percentage} %  {what}',
    barsize: 30,
    stream: process.stderr,
    hideCursor: true,
    linewrap: false,
  });
  private share = 0;

  constructor() {
    this.bar.start(100, 0, { what: '' });
  }

  show(status: MigrationStatus): void {
    this.share = status.phase === 'rollback' ? this.share : doneShare(status);
    this.bar.update(Math.floor(this.share), { what: summary(status) });
  }

  end(): void {
    this.bar.stop();
  }
}

/** Where nobody sees a bar: a line whenever something changes. */
class Lines implements Display {
  private said = '';

  constructor(private readonly terminal: Terminal) {}

  show(status: MigrationStatus): void {
    const line = `${headline(status)}${status.weight > 0 ? `, ${Math.round(status.weight)} %` : ''}`;
    if (line !== this.said) this.terminal.note(`${status.keyspace}/${status.partition}: ${line}`);
    this.said = line;
  }

  end(): void {}
}

function doneShare({ state, phase, documents, compared, documentsTotal = 0, weight }: MigrationStatus): number {
  if (state === 'completed') return 100;
  const begin = BEGINS_AT[phase] ?? 0;
  const part = (done: number, total: number, until: number) =>
    begin + (until - begin) * Math.min(1, total > 0 ? done / total : 0);
  if (phase === 'backfill') return part(documents, documentsTotal, BEGINS_AT['replicate']!);
  if (phase === 'verify') return part(compared, documentsTotal, BEGINS_AT['approval']!);
  if (phase === 'cutover') return part(weight, 100, BEGINS_AT['soak']!);
  return begin;
}

function summary(status: MigrationStatus): string {
  const { work, lagSeconds, weight, target, pauseMsMax } = status;
  const left = spokenTimeLeft(status.secondsLeft);
  const what = [
    work === undefined ? headline(status) : `${work.phase}: ${spokenWork(work)}`,
    work === undefined ? undefined : spokenPace(work),
    status.phase === 'replicate' && lagSeconds !== undefined ? `${lagSeconds} s behind` : undefined,
    weight > 0 ? `${Math.round(weight)} % at ${target}` : undefined,
    pauseMsMax > 0 ? `longest pause ${milliseconds(pauseMsMax)}` : undefined,
    left === undefined ? undefined : `${left} left`,
  ];
  return what.filter((part) => part !== undefined).join(', ');
}
