import {
  allHandlersFinished,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { Admission } from '../domain/admission.js';
import { grant, release, request } from '../domain/admission.js';
import { control } from './activity-proxies.js';
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

  for (;;) {
    const idle = admission.holders.length === 0 && admission.queue.length === 0;
    const timedOut = idle
      ? await condition(() => changed).then(() => false)
      : !(await condition(() => changed, LOOK_FOR_ENDED_MS));
    changed = false;
    if (timedOut) {
      for (const who of await control.findEnded(admission.holders)) admission = release(admission, who);
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
    if (workflowInfo().historyLength > EVENTS_BEFORE_CONTINUING && !changed && allHandlersFinished()) {
      await continueAsNew<typeof admissionWorkflow>(admission);
    }
  }
}
