import { CancelledFailure, WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import * as messages from '../../workflows/messages.js';
import type { MigrationHandle, Script } from './environment.js';
import { decisions, FOLLOWS_ON, POLICY, story, toldToStop, untilProgress, useStage } from './environment.js';

const UP_TO_CUTOVER = [
  'claim',
  'requestAdmission',
  'createShadow',
  'backfill',
  'replicate forward',
  'catchUp',
  'verify',
  'replicate back',
  'publishTarget',
];
const STOP_FOLLOWERS = ['stop replicate forward', 'stop replicate back'];
const RETIRE = ['retire', ...STOP_FOLLOWERS, 'removeOldCopy', 'releaseAdmission'];

/** Compensations, by how far a migration had come. */
const BEFORE_COPY = ['releaseAdmission', 'releaseClaim'];
const BEFORE_FOLLOWING = ['removeShadow', ...BEFORE_COPY];
const BEFORE_CUTOVER = ['stop replicate forward', ...BEFORE_FOLLOWING];
const BEFORE_FIRST_WEIGHT = ['withdrawTarget', ...STOP_FOLLOWERS, ...BEFORE_FOLLOWING];
const AFTER_FIRST_WEIGHT = ['shiftWeight 0', ...BEFORE_FIRST_WEIGHT];

describe('migrationWorkflow', () => {
  const failureOf = async (handle: MigrationHandle): Promise<ApplicationFailure | CancelledFailure> => {
    const error: unknown = await handle.result().catch((reason: unknown) => reason);
    if (!(error instanceof WorkflowFailedError)) throw new Error(`it did not fail: ${JSON.stringify(error)}`);
    return error.cause as ApplicationFailure;
  };

  describe('the happy path', () => {
    const { perform } = useStage();

    it('runs these steps in this order, with these inputs', async () => {
      const handle = await perform(() => ({}));
      const result = await handle.result();
      expect(result).toMatchObject({ outcome: 'completed', documents: 5, bytes: 500, pauseMsMax: 12 });

      // The admission may or may not answer before the time for asking again begins.
      const decided = (await decisions(handle)).filter(({ what }) => what !== 'wait 60 s');
      expect(decided.map(({ what }) => what)).toEqual([
        ...UP_TO_CUTOVER,
        'shiftWeight 10',
        'watch 60000',
        'shiftWeight 100',
        'watch 3600000',
        ...RETIRE,
      ]);

      // Replay does not notice changed arguments: this list does.
      const { workflowId, firstExecutionRunId: runId } = handle;
      const partition = workflowId.split('/').at(-1)!;
      const { migration } = result;
      const plan = { migration, keyspace: 'shop.orders', partition, source: 'a', target: 'b', ...POLICY };
      expect(decided.filter(({ input }) => input !== undefined).map(({ input }) => input)).toEqual([
        { input: { keyspace: 'shop.orders', partition, target: 'b' }, migration, workflowId, runId },
        { ...plan, phase: 'shadow' },
        { ...plan, phase: 'backfill' },
        { ...plan, direction: 'forward' },
        { ...plan, phase: 'replicate' },
        { ...plan, phase: 'verify' },
        { ...plan, direction: 'back' },
        { ...plan, phase: 'cutover' },
        { ...plan, weight: 10 },
        { ...plan, forMs: POLICY.dwellMs },
        { ...plan, weight: 100 },
        { ...plan, forMs: POLICY.soakMs, phase: 'soak' },
        { ...plan, phase: 'retire' },
        plan,
      ]);
    });

    it.each([POLICY.dwellMs, POLICY.soakMs])(
      'is rolled back by itself when the target serves worse (after %s ms)',
      async (when) => {
        const handle = await perform(() => ({ watch: ({ forMs }) => (forMs === when ? { worse: 'it is slow' } : {}) }));
        expect(await failureOf(handle)).toMatchObject({ type: 'RolledBack', message: 'rolled back: it is slow' });
        expect((await story(handle)).slice(-AFTER_FIRST_WEIGHT.length)).toEqual(AFTER_FIRST_WEIGHT);
      },
    );

    it('is completed instead of rolled back when there is no way back, and fails with that reason', async () => {
      const handle = await perform((the) => ({
        shiftWeight: async ({ weight }) => {
          const step = { weight, moved: true, pauseMs: 1 };
          if (weight === 10) await the().executeUpdate(messages.rollback, { args: [{ by: 'me' }] });
          return weight === 0 ? { ...step, noWayBack: 'the source was dropped' } : step;
        },
      }));
      const message = 'completed instead of rolled back: the source was dropped';
      expect(await failureOf(handle)).toMatchObject({ type: 'SourceLost', message });
      const ending = ['shiftWeight 0', 'shiftWeight 100', ...RETIRE];
      expect((await story(handle)).slice(-ending.length)).toEqual(ending);
      expect((await decisions(handle)).at(-ending.length + 1)!.input).toMatchObject({ weight: 100, sourceLost: true });
    });

    it('asks again for a place when nobody answers for a minute', async () => {
      let asked = 0;
      const handle = await perform((the) => ({
        requestAdmission: async () => {
          if (++asked === 3) await the().signal(messages.admitted);
        },
      }));
      await handle.result();
      expect((await story(handle)).slice(0, 6)).toEqual([
        'claim',
        'requestAdmission',
        'wait 60 s',
        'requestAdmission',
        'wait 60 s',
        'requestAdmission',
      ]);
    });

    it('says that a move comes from a forecast when it carries out a decision', async () => {
      const requests: unknown[] = [];
      const handle = await perform(
        (the) => ({
          requestAdmission: async (request) => {
            requests.push(request);
            await the().signal(messages.admitted);
          },
        }),
        { decision: 'd1' },
      );
      await handle.result();
      const { workflowId, firstExecutionRunId: runId } = handle;
      expect(requests).toEqual([{ workflowId, runId, nodes: ['a', 'b'], byForecast: true }]);
    });

    it('shows its progress all the way', async () => {
      const seen: string[] = [];
      const look = async (handle: MigrationHandle) => {
        const { phase, weight, weights, documents, compared, steps } = await handle.query(messages.progress);
        seen.push(
          `${phase} ${weight}% then ${weights.join(',')}; ${documents} copied ${compared} compared ${steps} steps`,
        );
      };
      const handle = await perform((the) => ({
        backfill: async () => (await look(the()), { documents: 7, bytes: 70 }),
        verify: async () => (await look(the()), { compared: 7 }),
        shiftWeight: async ({ weight }) => (await look(the()), { weight, moved: true, pauseMs: 3 }),
        retire: () => look(the()),
      }));
      await handle.result();
      expect(seen).toEqual([
        'backfill 0% then 10,100; 0 copied 0 compared 0 steps',
        'verify 0% then 10,100; 7 copied 0 compared 0 steps',
        'cutover 0% then 10,100; 7 copied 7 compared 0 steps',
        'cutover 10% then 100; 7 copied 7 compared 1 steps',
        'retire 100% then ; 7 copied 7 compared 2 steps',
      ]);
      expect(await handle.query(messages.progress)).toMatchObject({ phase: 'completed', weight: 100, paused: false });
    });

    it('counts no boundary step where a weight moved nothing', async () => {
      const handle = await perform(
        () => ({
          shiftWeight: ({ weight }) => ({ weight: weight === 10 ? 60 : 100, moved: weight !== 50, pauseMs: weight }),
        }),
        { weights: [10, 50, 100] },
      );
      await handle.result();
      expect(await handle.query(messages.progress)).toMatchObject({ steps: 2, pauseMsMax: 100, pauseMsLast: 100 });
    });
  });

  describe('an activity that fails for good', () => {
    const { perform } = useStage();

    const broken = () => Promise.reject(ApplicationFailure.nonRetryable('it is broken', 'Refused'));
    const compensations: readonly (readonly [name: string, script: Script, compensations: readonly string[]])[] = [
      ['requestAdmission', { requestAdmission: broken }, BEFORE_COPY],
      ['createShadow', { createShadow: broken }, BEFORE_FOLLOWING],
      ['backfill', { backfill: broken }, BEFORE_FOLLOWING],
      ['catchUp', { catchUp: broken }, BEFORE_CUTOVER],
      ['verify', { verify: broken }, BEFORE_CUTOVER],
      ['publishTarget', { publishTarget: broken }, BEFORE_FIRST_WEIGHT],
      [
        'shiftWeight 10',
        { shiftWeight: ({ weight }) => (weight === 10 ? broken() : { weight, moved: true, pauseMs: 1 }) },
        AFTER_FIRST_WEIGHT,
      ],
      [
        'shiftWeight 100',
        { shiftWeight: ({ weight }) => (weight === 100 ? broken() : { weight, moved: true, pauseMs: 1 }) },
        AFTER_FIRST_WEIGHT,
      ],
    ];

    it.each(compensations)('%s: everything done before is undone in reverse order', async (name, script, undone) => {
      const handle = await perform(() => script);
      expect(await failureOf(handle)).toMatchObject({
        type: 'RolledBack',
        message: 'rolled back: Refused: it is broken',
      });
      const told = await story(handle);
      expect(told.slice(told.lastIndexOf(name) + 1)).toEqual(undone);
      const last = (await decisions(handle)).at(-1)!;
      expect(last).toMatchObject({ what: 'releaseClaim', input: { reason: 'Refused: it is broken' } });
      expect(await handle.query(messages.progress)).toMatchObject({ phase: 'rolledBack', weight: 0 });
    });

    it('claim: there is nothing to undo', async () => {
      const handle = await perform(() => ({
        claim: () => Promise.reject(ApplicationFailure.nonRetryable('no such partition', 'InvalidRequest')),
      }));
      const error = (await failureOf(handle)) as unknown as { cause: ApplicationFailure };
      expect(error.cause).toMatchObject({ type: 'InvalidRequest', message: 'no such partition' });
      expect(await story(handle)).toEqual(['claim']);
    });

    it('claim, whose outcome is unknown because it could not be reached: the partition is not left claimed', async () => {
      const handle = await perform(() => ({
        claim: () => Promise.reject(ApplicationFailure.create({ message: 'catalog went away', type: 'Unavailable' })),
      }));
      await failureOf(handle);
      expect(await story(handle)).toEqual(['claim', 'releaseClaim']);
    });

    it('a follower: the migration rolls back, and it is tried again until everything is handed back', async () => {
      let fail!: () => void;
      const broken = new Promise<void>((resolve) => (fail = resolve));
      let failed = false;
      const handle = await perform(
        () => ({
          replicate: async ({ direction }) => {
            if (direction === 'forward' || failed) throw FOLLOWS_ON;
            await broken;
            failed = true;
            throw ApplicationFailure.nonRetryable('rolled over', 'ChangeLogLost');
          },
          shiftWeight: async ({ weight }) => {
            if (weight > 0) {
              fail();
              await toldToStop();
            }
            return { weight, moved: true, pauseMs: 1 };
          },
        }),
        { dwell: 0 },
      );
      expect(await failureOf(handle)).toMatchObject({
        message: 'rolled back: replication failed: ChangeLogLost: rolled over',
      });
      const told = await story(handle);
      expect(told.filter((step) => step === 'replicate back')).toHaveLength(2);
      expect(told.slice(-AFTER_FIRST_WEIGHT.length)).toEqual(AFTER_FIRST_WEIGHT);
    });
  });

  describe('an activity that fails for a while', () => {
    const { perform } = useStage();

    it.each(['retire', 'removeOldCopy'] as const)(
      '%s: after the point of no return the migration is completed, whatever happens',
      async (name) => {
        let attempts = 0;
        const handle = await perform(() => ({
          [name]: () =>
            ++attempts < 5 ? Promise.reject(new Error('a node is down for the moment')) : Promise.resolve(undefined),
        }));
        expect((await handle.result()).outcome).toBe('completed');
        expect(attempts).toBe(5);
        expect((await story(handle)).slice(-RETIRE.length)).toEqual(RETIRE);
      },
    );

    it.each(['shiftWeight', 'withdrawTarget', 'removeShadow', 'releaseClaim'] as const)(
      '%s: a rollback goes on until it is done',
      async (name) => {
        let attempts = 0;
        const handle = await perform(() => ({
          verify: () => Promise.resolve({ compared: 1 }),
          [name]: ({ weight }: { weight?: number }) => {
            if (weight !== undefined && weight > 0) {
              return Promise.reject(ApplicationFailure.nonRetryable('no', 'VerificationFailed'));
            }
            return ++attempts < 8
              ? Promise.reject(new Error('a node is down for the moment'))
              : Promise.resolve({ weight: 0, moved: false, pauseMs: 0 });
          },
          ...(name === 'shiftWeight'
            ? {}
            : { publishTarget: () => Promise.reject(ApplicationFailure.nonRetryable('no', 'VerificationFailed')) }),
        }));
        await failureOf(handle);
        expect(attempts).toBe(8);
        const told = await story(handle);
        expect(told.slice(told.indexOf('withdrawTarget'))).toEqual(BEFORE_FIRST_WEIGHT);
      },
    );
  });

  describe('rollback, abort and cancel', () => {
    const ask = {
      rollback: (handle: MigrationHandle) => handle.executeUpdate(messages.rollback, { args: [{ by: 'ada' }] }),
      abort: (handle: MigrationHandle) => handle.executeUpdate(messages.abort, { args: [{ by: 'ada' }] }),
      cancel: (handle: MigrationHandle) => handle.cancel(),
    } as const;
    type Ask = keyof typeof ask;

    const phases: readonly (readonly [name: string, undone: readonly string[]])[] = [
      ['createShadow', BEFORE_FOLLOWING],
      ['backfill', BEFORE_FOLLOWING],
      ['catchUp', BEFORE_CUTOVER],
      ['verify', BEFORE_CUTOVER],
      ['publishTarget', AFTER_FIRST_WEIGHT.filter((step) => step !== 'shiftWeight 0')],
      ['shiftWeight 10', AFTER_FIRST_WEIGHT],
      ['shiftWeight 100', AFTER_FIRST_WEIGHT],
    ];

    // The test server's lock on time suffers from cancelled activities: these migrations have no timers.
    describe.each(['rollback', 'abort', 'cancel'] as const)('%s', (how: Ask) => {
      const { perform } = useStage();

      it.each(phases)('during %s hands everything back, then ends', async (name, undone) => {
        const [activity, weight] = name.split(' ');
        let asked = false;
        const handle = await perform(
          (the) => ({
            [activity!]: async (input: { weight?: number }) => {
              if (!asked && (weight === undefined || input.weight === Number(weight))) {
                asked = true;
                await ask[how](the());
                await toldToStop();
                // As a long activity does when it is told.
                if (activity === 'backfill' || activity === 'verify') throw new CancelledFailure('told to stop');
              }
              return { weight: input.weight ?? 0, moved: true, pauseMs: 1 };
            },
          }),
          { dwell: 0 },
        );
        if (how === 'cancel') {
          expect(await failureOf(handle)).toBeInstanceOf(CancelledFailure);
          expect((await handle.describe()).status.name).toBe('CANCELLED');
        } else {
          const result = await handle.result();
          expect(result).toMatchObject({
            outcome: 'rolledBack',
            reason: `${how === 'abort' ? 'aborted' : 'rolled back'} on request of ada`,
          });
        }
        const told = await story(handle);
        const withoutRequest = told.filter((step) => step !== `stop ${name}`);
        // A step that was under way when it was told still registered the one after it, at most.
        expect(withoutRequest.slice(-undone.length)).toEqual(undone);
        expect(withoutRequest.at(-undone.length - 1)).toBe(name);
      });
    });

    const { perform } = useStage();

    it('during the soak, a rollback hands everything back', async () => {
      const handle = await perform(() => ({
        watch: async ({ forMs }) => {
          if (forMs === POLICY.soakMs) await toldToStop();
          return {};
        },
      }));
      const soaking = await untilProgress(handle, ({ until, phase }) => phase === 'soak' && until !== undefined);
      // Told of by its own clock: when the phase began, and until when it lasts.
      expect(soaking.until! - soaking.phaseSince).toBe(POLICY.soakMs);
      await handle.executeUpdate(messages.rollback, { args: [{ reason: 'second thoughts' }] });
      expect(await handle.result()).toMatchObject({
        outcome: 'rolledBack',
        reason: 'rolled back on request: second thoughts',
      });
      expect((await story(handle)).slice(-AFTER_FIRST_WEIGHT.length)).toEqual(AFTER_FIRST_WEIGHT);
    });

    it('while it waits for a place, a cancelled migration gives its request back', async () => {
      const handle = await perform(() => ({ requestAdmission: () => undefined }));
      await untilProgress(handle, ({ phase }) => phase === 'admission');
      await handle.cancel();
      await failureOf(handle);
      expect((await story(handle)).filter((step) => !step.startsWith('wait'))).toEqual([
        'claim',
        'requestAdmission',
        ...BEFORE_COPY,
      ]);
    });

    it('once retire has begun, it is too late: refused by update, and without effect as a cancel', async () => {
      const refused: unknown[] = [];
      const handle = await perform((the) => ({
        retire: async () => {
          for (const update of [messages.rollback, messages.abort, messages.pause]) {
            await the()
              .executeUpdate(update, { args: [undefined] })
              .catch((error: unknown) => refused.push(error));
          }
          await the().cancel();
        },
      }));
      expect((await handle.result()).outcome).toBe('completed');
      expect(refused).toHaveLength(3);
      for (const error of refused) {
        expect(error).toBeInstanceOf(WorkflowUpdateFailedError);
        expect((error as WorkflowUpdateFailedError).cause).toMatchObject({
          type: 'InvalidRequest',
          message: expect.stringContaining('too late') as string,
        });
      }
    });

    it('a second request for the end is refused, and the first one stands', async () => {
      let second: unknown;
      const handle = await perform((the) => ({
        verify: async () => {
          await ask.abort(the());
          second = await ask.rollback(the()).catch((error: unknown) => error);
          return { compared: 0 };
        },
      }));
      expect((await handle.result()).reason).toBe('aborted on request of ada');
      expect((second as WorkflowUpdateFailedError).cause?.message).toContain(
        'already ending: aborted on request of ada',
      );
    });
  });

  describe('steering', () => {
    const { stage, perform } = useStage();

    it('a paused migration finishes its step, then waits for resume for as long as it takes', async () => {
      const handle = await perform((the) => ({
        shiftWeight: async ({ weight }) => {
          if (weight === 10) await the().executeUpdate(messages.pause, { args: [{ by: 'ada' }] });
          return { weight, moved: true, pauseMs: 1 };
        },
      }));
      await untilProgress(handle, ({ steps }) => steps === 1);
      await stage().temporal.sleep('2 days');
      const paused = await untilProgress(handle, ({ waitingFor }) => waitingFor === 'resume');
      expect(paused).toMatchObject({ paused: true, phase: 'cutover', weight: 10, weights: [100] });
      expect((await story(handle)).at(-1)).toBe('watch 60000');
      await handle.executeUpdate(messages.resume, { args: [undefined] });
      expect((await handle.result()).outcome).toBe('completed');
    });

    it('waits for approval where that was asked for, and takes it early, too', async () => {
      const waiting = await stage().migrate({ approveCutover: true });
      await untilProgress(waiting, ({ waitingFor }) => waitingFor === 'approve');
      expect((await story(waiting)).at(-1)).toBe('verify');
      expect((await waiting.executeUpdate(messages.approve, { args: [undefined] })).phase).toBe('approval');
      expect((await waiting.result()).outcome).toBe('completed');

      const early = await perform(
        (the) => ({
          verify: async () => (await the().executeUpdate(messages.approve, { args: [undefined] }), { compared: 1 }),
        }),
        { approveCutover: true },
      );
      expect((await early.result()).outcome).toBe('completed');
    });

    it('goes on by amended weights', async () => {
      const handle = await stage().migrate({ approveCutover: true, weights: [1, 5, 100] });
      await untilProgress(handle, ({ waitingFor }) => waitingFor === 'approve');
      const after = await handle.executeUpdate(messages.amendWeights, { args: [{ weights: [30, 60, 100] }] });
      expect(after.weights).toEqual([30, 60, 100]);
      await handle.executeUpdate(messages.approve, { args: [undefined] });
      await handle.result();
      const weights = (await story(handle)).filter((step) => step.startsWith('shiftWeight'));
      expect(weights).toEqual(['shiftWeight 30', 'shiftWeight 60', 'shiftWeight 100']);
    });

    it('amended weights below what was reached in the meantime are left out', async () => {
      const handle = await perform(
        (the) => ({
          shiftWeight: async ({ weight }) => {
            if (weight === 50) await the().executeUpdate(messages.amendWeights, { args: [{ weights: [40, 70, 100] }] });
            return { weight, moved: true, pauseMs: 1 };
          },
        }),
        { weights: [10, 50, 100] },
      );
      await handle.result();
      const weights = (await story(handle)).filter((step) => step.startsWith('shiftWeight'));
      expect(weights).toEqual(['shiftWeight 10', 'shiftWeight 50', 'shiftWeight 70', 'shiftWeight 100']);
    });

    it('refuses what makes no sense, with the reason, and leaves nothing of it in the history', async () => {
      const refusals: string[] = [];
      let eventsOfUpdates = -1;
      const updateEvents = async (handle: MigrationHandle) =>
        (await handle.fetchHistory()).events!.filter(
          (event) =>
            event.workflowExecutionUpdateAcceptedEventAttributes ??
            event.workflowExecutionUpdateCompletedEventAttributes,
        ).length;
      const handle = await perform((the) => ({
        shiftWeight: async ({ weight }) => {
          if (weight === 100) {
            const amend = (weights: unknown) =>
              the().executeUpdate(messages.amendWeights, { args: [{ weights: weights as number[] }] });
            const requests = [
              () => amend([5, 100]),
              () => amend([50, 40, 100]),
              () => amend([50]),
              () => amend([]),
              () => amend('100'),
              () => amend([Number.NaN, 100]),
              () => the().executeUpdate(messages.amendWeights, { args: [undefined as never] }),
              () => the().executeUpdate(messages.resume, { args: [undefined] }),
              () => the().executeUpdate(messages.approve, { args: [undefined] }),
            ];
            for (const request of requests) {
              const error: unknown = await request().then(
                () => undefined,
                (reason: unknown) => reason,
              );
              refusals.push((error as WorkflowUpdateFailedError | undefined)?.cause?.message ?? 'accepted');
            }
            eventsOfUpdates = await updateEvents(the());
          }
          return { weight, moved: true, pauseMs: 1 };
        },
      }));
      expect((await handle.result()).outcome).toBe('completed');
      expect(refusals.map((refusal) => refusal.replace(/; got .*/, ''))).toEqual([
        ...Array<string>(7).fill(
          'weights must rise strictly from above 10, where the migration stands, to 100, such as 25,50,100',
        ),
        'the migration is not paused',
        'the migration does not wait for approval',
      ]);
      expect(eventsOfUpdates).toBe(0);
    });

    it('refuses everything before the partition is claimed', async () => {
      let refusal: unknown;
      const handle = await perform((the) => ({
        claim: async ({ input, migration }) => {
          refusal = await the()
            .executeUpdate(messages.pause, { args: [undefined] })
            .catch((error: unknown) => error);
          return {
            migration,
            keyspace: input.keyspace,
            partition: input.partition,
            source: 'a',
            target: 'b',
            ...POLICY,
          };
        },
      }));
      await handle.result();
      expect((refusal as WorkflowUpdateFailedError).cause?.message).toContain('has not begun yet');
    });
  });
});
