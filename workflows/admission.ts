import {
  allHandlersFinished,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Admission } from '../domain/admission.js';
import { grant, release, request } from '../domain/admission.js';
import { messages } from './activity-proxies.js';
import type { AdmissionInput } from './messages.js';
import { admissionState, admitted, releasePlace, requestPlace } from './messages.js';

/** A terminated migration can't give its place back: it is looked for this often. */
const LOOK_FOR_ENDED_MS = 30_000;
const EVENTS_BEFORE_CONTINUING = 2_000;

/** The one queue of the cluster: who waits to move, and who moves. Lives for ever, as a chain of runs. */
export async function admissionWorkflow(input: AdmissionInput = {}): Promise<never> {
  let admission: Admission = { queue: input.queue ?? [], holders: input.holders ?? [] };
  let changed = true;
  setHandler(requestPlace, (place) => {
    admission = request(admission, place);
    changed = true;
  });
  setHandler(releasePlace, (who) => {
    admission = release(admission, who);
    changed = true;
  });
  setHandler(admissionState, () => admission);

  /** A look for ended holders is due; one is set up whenever there are places that could be held in vain. */
  const look = { setUp: false, due: false };
  for (;;) {
    if (!look.setUp && admission.holders.length + admission.queue.length > 0) {
      look.setUp = true;
      void sleep(LOOK_FOR_ENDED_MS).then(() => (look.due = true));
    }
    await condition(() => changed || look.due);
    changed = false;
    if (look.due) {
      Object.assign(look, { setUp: false, due: false });
      for (const who of await messages.findEnded([...admission.holders, ...admission.queue])) {
        admission = release(admission, who);
      }
    }
    const result = grant(admission);
    admission = result.admission;
    for (const place of result.granted) {
      try {
        await getExternalWorkflowHandle(place.workflowId, place.runId).signal(admitted);
      } catch {
        // It ended while it waited: the place is free for the next one.
        admission = release(admission, place);
        changed = true;
      }
    }
    setCurrentDetails(`${admission.holders.length} move, ${admission.queue.length} wait`);
    if (workflowInfo().historyLength > EVENTS_BEFORE_CONTINUING) {
      await condition(allHandlersFinished);
      // Whatever came in meanwhile is dealt with first.
      if (!changed) await continueAsNew<typeof admissionWorkflow>(admission);
    }
  }
}
