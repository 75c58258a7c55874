import { describe, expect, it } from 'vitest';
import type { AdmissionInput, PlaceRequest } from '../../workflows/messages.js';
import {
  ADMISSION_WORKFLOW_ID,
  admissionState,
  approve,
  CONTROL_QUEUE,
  releasePlace,
  requestPlace,
} from '../../workflows/messages.js';
import type { MigrationHandle } from './environment.js';
import { untilProgress, useStage } from './environment.js';

interface Limits {
  readonly total: number;
  readonly perNode: number;
}

/** Those who ask are migrations: they stop for approval when they have a place, and give it back at their end. */
describe('admissionWorkflow', () => {
  const { stage } = useStage();
  const workflows = () => stage().temporal.client.workflow;
  const admission = () => workflows().getHandle(ADMISSION_WORKFLOW_ID);

  /** A cluster whose admission starts anew, with these limits. */
  async function open(limits: Limits, priorities: readonly number[] = []): Promise<void> {
    await admission()
      .terminate()
      .catch(() => undefined);
    let asked = 0;
    stage().script = {
      requestAdmission: async ({ workflowId, runId, nodes }) => {
        const place = { workflowId, runId, nodes, limits, priority: priorities[asked++] ?? 0 };
        await workflows().signalWithStart('admissionWorkflow', {
          workflowId: ADMISSION_WORKFLOW_ID,
          taskQueue: CONTROL_QUEUE,
          args: [{}],
          signal: requestPlace,
          signalArgs: [place],
        });
      },
      releaseAdmission: ({ workflowId, runId }) => admission().signal(releasePlace, { workflowId, runId }),
      findEnded: async (places) => {
        const running = await Promise.all(
          places.map(
            async ({ workflowId, runId }) =>
              (await workflows().getHandle(workflowId, runId).describe()).status.name === 'RUNNING',
          ),
        );
        return places.filter((_, i) => !running[i]);
      },
    };
  }

  const ask = async (target = 'b'): Promise<MigrationHandle> => {
    const handle = await stage().migrate({ target, approveCutover: true, dwell: 0, soak: 0 });
    await until(async () => {
      const state = await admission()
        .query(admissionState)
        .catch(() => undefined);
      return (
        state !== undefined &&
        [...state.queue, ...state.holders].some((place) => place.workflowId === handle.workflowId)
      );
    });
    return handle;
  };
  const hasPlace = (handle: MigrationHandle) =>
    untilProgress(handle, ({ waitingFor }) => waitingFor === 'approve').then(() => true);
  const finish = async (handle: MigrationHandle) => {
    await handle.executeUpdate(approve, { args: [undefined] });
    await handle.result();
  };
  const whoWaits = async () => (await admission().query(admissionState)).queue.map(({ workflowId }) => workflowId);
  const whoMoves = async () => (await admission().query(admissionState)).holders.map(({ workflowId }) => workflowId);

  it('lets as many move at once as there are places, and the next one when a place is given back', async () => {
    await open({ total: 2, perNode: 2 });
    const [first, second, third] = [await ask(), await ask(), await ask()];
    await hasPlace(first);
    await hasPlace(second);
    expect(await whoMoves()).toEqual([first.workflowId, second.workflowId]);
    expect(await whoWaits()).toEqual([third.workflowId]);
    await finish(first);
    await hasPlace(third);
    expect(await whoWaits()).toEqual([]);
    await finish(second);
    await finish(third);
    await until(async () => (await whoMoves()).length === 0);
  });

  it('lets only so many move per node; one that waits for a busy node does not hold up the others', async () => {
    await open({ total: 10, perNode: 1 });
    // All start at node "a": the first has it, whatever the others' targets are.
    const [first, second] = [await ask('b'), await ask('c')];
    await hasPlace(first);
    expect(await whoWaits()).toEqual([second.workflowId]);
    const elsewhere: PlaceRequest = {
      workflowId: first.workflowId,
      runId: 'of somebody else',
      nodes: ['x', 'y'],
      priority: 0,
      limits: { total: 10, perNode: 1 },
    };
    // It does not exist, so it can't be told; but it was not held up, and its place is free again.
    await admission().signal(requestPlace, elsewhere);
    await until(async () => (await whoWaits()).length === 1);
    expect(await whoMoves()).toEqual([first.workflowId]);
    await finish(first);
    await hasPlace(second);
    await finish(second);
  });

  it('goes by priority, then by order of arrival', async () => {
    await open({ total: 1, perNode: 1 }, [0, 0, 10, 0]);
    const moving = await ask();
    await hasPlace(moving);
    const [first, urgent, second] = [await ask(), await ask(), await ask()];
    await finish(moving);
    for (const next of [urgent, first, second]) {
      await hasPlace(next);
      expect(await whoMoves()).toEqual([next.workflowId]);
      await finish(next);
    }
  });

  it('gives the place of a terminated migration to the next one', async () => {
    await open({ total: 1, perNode: 1 });
    const [moving, waiting] = [await ask(), await ask()];
    await hasPlace(moving);
    await moving.terminate('by an operator');
    await stage().temporal.sleep('31s');
    await hasPlace(waiting);
    expect(await whoMoves()).toEqual([waiting.workflowId]);
    await finish(waiting);
  });

  it('finds a terminated migration also while others keep asking', async () => {
    await open({ total: 1, perNode: 1 });
    const [moving, waiting] = [await ask(), await ask()];
    await hasPlace(moving);
    await moving.terminate('by an operator');
    const again: PlaceRequest = (await admission().query(admissionState)).queue[0]!;
    // Every waiting migration asks again once a minute: three of them are enough for this rhythm.
    for (let i = 0; i < 12 && (await whoMoves())[0] === moving.workflowId; i++) {
      await stage().temporal.sleep('20s');
      await admission().signal(requestPlace, again);
    }
    expect(await whoMoves()).toEqual([waiting.workflowId]);
    await finish(waiting);
  });

  it('passes over a migration that ended while it waited', async () => {
    await open({ total: 1, perNode: 1 });
    const [moving, gone, waiting] = [await ask(), await ask(), await ask()];
    await hasPlace(moving);
    await gone.terminate('by an operator');
    await finish(moving);
    await hasPlace(waiting);
    expect(await whoMoves()).toEqual([waiting.workflowId]);
    await finish(waiting);
  });

  it('takes a request that is repeated as one', async () => {
    await open({ total: 1, perNode: 1 });
    const [moving, waiting] = [await ask(), await ask()];
    const { queue, holders } = await admission().query(admissionState);
    for (const place of [...queue, ...holders, ...queue]) await admission().signal(requestPlace, place);
    expect(await whoWaits()).toEqual([waiting.workflowId]);
    expect(await whoMoves()).toEqual([moving.workflowId]);
    await hasPlace(moving);
    await finish(moving);
    await hasPlace(waiting);
    await finish(waiting);
  });

  it('starts with those who move already, when it was lost', async () => {
    await open({ total: 1, perNode: 1 });
    const moving = await ask();
    await hasPlace(moving);
    const { holders } = await admission().query(admissionState);
    await admission().terminate('by an operator');
    const input: AdmissionInput = { holders };
    await workflows().start('admissionWorkflow', {
      workflowId: ADMISSION_WORKFLOW_ID,
      taskQueue: CONTROL_QUEUE,
      args: [input],
    });
    const waiting = await ask();
    expect(await whoMoves()).toEqual([moving.workflowId]);
    expect(await whoWaits()).toEqual([waiting.workflowId]);
    await finish(moving);
    await hasPlace(waiting);
    await finish(waiting);
  });

  it('continues as new before its history grows long, and keeps the queue', async () => {
    await open({ total: 1, perNode: 1 });
    const [moving, waiting] = [await ask(), await ask()];
    await hasPlace(moving);
    const { runId } = await admission().describe();
    const nobody = { workflowId: 'nobody', runId: 'none' };
    for (let sent = 0; sent < 2_000; sent += 200) {
      await Promise.all(Array.from({ length: 200 }, () => admission().signal(releasePlace, nobody)));
    }
    await until(async () => (await admission().describe()).runId !== runId);
    expect((await workflows().getHandle(ADMISSION_WORKFLOW_ID, runId).describe()).status.name).toBe('CONTINUED_AS_NEW');
    expect(await whoMoves()).toEqual([moving.workflowId]);
    expect(await whoWaits()).toEqual([waiting.workflowId]);
    await finish(moving);
    await hasPlace(waiting);
    await finish(waiting);
  });

  async function until(fulfilled: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (!(await fulfilled())) {
      if (performance.now() > deadline) throw new Error('not in time');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
});
