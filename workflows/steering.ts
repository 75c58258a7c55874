import type { UpdateDefinition } from '@temporalio/common';
import {
  ApplicationFailure,
  CancellationScope,
  condition,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { Move } from '../activities/index.js';
import { checkWeights } from '../domain/weights.js';
import type { DroverError } from '../domain/errors.js';
import type { AmendWeights, MigrationInput, MigrationProgress, SteeringRequest } from './messages.js';
import * as messages from './messages.js';
import { MigrationPhase, searchAttributes } from './messages.js';

/** What the user can ask of a running migration, and what it shows of itself: state, handlers, nothing else. */
export class Steering {
  private phase: MigrationPhase = MigrationPhase.validate;
  private phaseSince = workflowTime();
  private until: number | undefined;
  private plan: Move | undefined;
  private remaining: readonly number[] = [];
  private paused = false;
  private approved = false;
  private waitingFor: string | undefined;
  private figures = { documents: 0, bytes: 0, compared: 0, steps: 0, pauseMsMax: 0, pauseMsLast: 0 };
  private weight = 0;
  private giveUp: { readonly reason: string; readonly asked: boolean } | undefined;
  private readonly scope = new CancellationScope();

  constructor(private readonly input: MigrationInput) {
    setHandler(messages.progress, () => this.progress());
    this.on(
      messages.pause,
      () => (this.paused = true),
      () => this.mustBeUnderWay('pause'),
    );
    this.on(
      messages.resume,
      () => (this.paused = false),
      () => {
        if (!this.paused) refuse('the migration is not paused');
      },
    );
    this.on(
      messages.approve,
      () => (this.approved = true),
      () => {
        if (this.input.approveCutover !== true) refuse('the migration does not wait for approval');
        this.mustBeUnderWay('approve');
      },
    );
    this.on(
      messages.rollback,
      (request) => this.stop(asked('rolled back', request), true),
      () => this.mustBeUnderWay('roll back'),
    );
    this.on(
      messages.abort,
      (request) => this.stop(asked('aborted', request), true),
      () => this.mustBeUnderWay('abort'),
    );
    setHandler(messages.amendWeights, (request: AmendWeights) => this.amend(request), {
      validator: (request: AmendWeights) => this.mayAmend(request),
    });
  }

  private amend({ weights }: AmendWeights): MigrationProgress {
    this.remaining = weights;
    this.show();
    return this.progress();
  }

  private mayAmend(request: AmendWeights | undefined): void {
    this.mustBeUnderWay('amend the weights of');
    if (this.weight >= 100) refuse('all of the load has gone over already');
    try {
      checkWeights(Array.isArray(request?.weights) ? request.weights : [], this.weight);
    } catch (error) {
      refuse((error as DroverError).message);
    }
  }

  private on(
    update: UpdateDefinition<MigrationProgress, [SteeringRequest | undefined]>,
    apply: (request: SteeringRequest | undefined) => unknown,
    validator: (request: SteeringRequest | undefined) => void,
  ): void {
    const handler = (request: SteeringRequest | undefined): MigrationProgress => {
      apply(request);
      this.show();
      return this.progress();
    };
    setHandler(update, handler, { validator });
  }

  /** Runs the migration so that `rollback`, `abort`, a failed replication or a cancelled workflow ends it. */
  async run(body: () => Promise<void>): Promise<void> {
    await this.scope.run(body);
  }

  begin(plan: Move & { readonly weights: readonly number[] }): void {
    this.plan = plan;
    this.remaining = plan.weights;
    upsertSearchAttributes([
      { key: searchAttributes.keyspace, value: plan.keyspace },
      { key: searchAttributes.partition, value: plan.partition },
      { key: searchAttributes.source, value: plan.source },
      { key: searchAttributes.target, value: plan.target },
    ]);
  }

  /** A safe point: a paused migration waits here. */
  async enter(phase: MigrationPhase): Promise<void> {
    await this.safePoint();
    this.setPhase(phase);
  }

  setPhase(phase: MigrationPhase): void {
    this.phase = phase;
    this.phaseSince = workflowTime();
    upsertSearchAttributes([{ key: searchAttributes.phase, value: phase }]);
    this.show();
  }

  async safePoint(): Promise<void> {
    if (this.paused) await this.waitUntil('resume', () => !this.paused);
  }

  async approval(): Promise<void> {
    if (this.input.approveCutover !== true) return;
    await this.enter(MigrationPhase.approval);
    await this.waitUntil('approve', () => this.approved);
  }

  nextWeight(): number | undefined {
    return this.remaining[0];
  }

  reached(weight: number, step: { readonly weight: number; readonly moved: boolean; readonly pauseMs: number }): void {
    this.remaining = this.remaining.filter((next) => next > weight);
    this.weight = weight === 0 || weight === 100 ? weight : step.weight;
    if (step.moved) {
      const { steps, pauseMsMax } = this.figures;
      this.add({ steps: steps + 1, pauseMsLast: step.pauseMs, pauseMsMax: Math.max(pauseMsMax, step.pauseMs) });
    }
    this.show();
  }

  add(figures: Partial<typeof this.figures>): void {
    this.figures = { ...this.figures, ...figures };
    this.show();
  }

  /** Ends the migration by rolling it back. */
  stop(reason: string, asked = false): void {
    this.giveUp ??= { reason, asked };
    this.scope.cancel();
  }

  get ending(): { readonly reason: string; readonly asked: boolean } | undefined {
    return this.giveUp;
  }

  progress(): MigrationProgress {
    const reason = this.giveUp?.reason;
    return {
      migration: this.plan?.migration ?? '',
      keyspace: this.input.keyspace,
      partition: this.input.partition,
      source: this.plan?.source ?? '',
      target: this.input.target,
      phase: this.phase,
      phaseSince: this.phaseSince,
      ...(this.until === undefined ? {} : { until: this.until }),
      weight: this.weight,
      weights: this.remaining,
      paused: this.paused,
      ...(this.waitingFor === undefined ? {} : { waitingFor: this.waitingFor }),
      ...this.figures,
      ...(reason === undefined ? {} : { reason }),
    };
  }

  /** Shows until when this may take. */
  async staying<T>(forMs: number, work: () => Promise<T>): Promise<T> {
    this.until = workflowTime() + forMs;
    try {
      return await work();
    } finally {
      this.until = undefined;
    }
  }

  async waitUntil(what: string, fulfilled: () => boolean): Promise<void> {
    this.waitFor(what);
    try {
      await condition(fulfilled);
    } finally {
      this.waitFor(undefined);
    }
  }

  /** Shows what the migration waits for; there may be nothing that anybody can do about it here. */
  waitFor(what: string | undefined): void {
    this.waitingFor = what;
    this.show();
  }

  private mustBeUnderWay(verb: string): void {
    if (this.plan === undefined) refuse(`the migration has not begun yet: there is nothing to ${verb}`);
    if (this.giveUp !== undefined) refuse(`the migration is already ending: ${this.giveUp.reason}`);
    if (this.phase === MigrationPhase.retire || this.phase === MigrationPhase.completed) {
      refuse(`it is too late to ${verb} the migration: the old copy is being retired`);
    }
  }

  /** What the Temporal UI shows on top of the workflow. */
  private show(): void {
    const { plan, figures } = this;
    if (plan === undefined) return;
    const lines = [
      `**${plan.keyspace} ${plan.partition}** from ${plan.source} to ${plan.target}`,
      `Phase **${this.phase}**, ${this.weight} % of the load at the target` +
        (this.remaining.length > 0 ? `, then ${this.remaining.join(', ')} %` : ''),
      `${figures.documents} documents (${figures.bytes} bytes) copied, ${figures.compared} compared, ` +
        `${figures.steps} boundary steps, longest pause ${Math.round(figures.pauseMsMax)} ms`,
    ];
    if (this.waitingFor !== undefined) lines.push(`Waits for **${this.waitingFor}**`);
    if (this.giveUp !== undefined) lines.push(`Rolls back: ${this.giveUp.reason}`);
    setCurrentDetails(lines.join('\n\n'));
  }
}

/** Of the workflow's own clock, which replay repeats. */
// eslint-disable-next-line no-restricted-syntax -- in the workflow sandbox this is the time of the history
const workflowTime = (): number => Date.now();

const asked = (what: string, request: SteeringRequest | undefined): string =>
  `${what} on request${request?.by === undefined ? '' : ` of ${request.by}`}${request?.reason === undefined ? '' : `: ${request.reason}`}`;

function refuse(message: string): never {
  throw ApplicationFailure.nonRetryable(message, 'InvalidRequest');
}
