/** Who waits for a place to move, and who has one. */
export interface Place {
  readonly workflowId: string;
  readonly runId: string;
  readonly nodes: readonly string[];
  /** Higher goes first. */
  readonly priority: number;
  readonly limits: { readonly total: number; readonly perNode: number };
}

export interface Admission {
  readonly queue: readonly Place[];
  readonly holders: readonly Place[];
}

const same = (a: { workflowId: string; runId: string }) => (b: { workflowId: string; runId: string }) =>
  a.workflowId === b.workflowId && a.runId === b.runId;

/** Queues a request; one that is queued or has a place already changes nothing. */
export function request(admission: Admission, place: Place): Admission {
  const known = [...admission.queue, ...admission.holders].some(same(place));
  return known ? admission : { ...admission, queue: [...admission.queue, place] };
}

export function release(admission: Admission, who: { workflowId: string; runId: string }): Admission {
  const others = (place: Place) => !same(who)(place);
  return { queue: admission.queue.filter(others), holders: admission.holders.filter(others) };
}

/**
 * Gives places by priority, then by order of arrival. Whoever does not fit because of its nodes is passed over by those
 * behind it, so that one busy node does not hold up the others.
 */
export function grant(admission: Admission): { admission: Admission; granted: readonly Place[] } {
  const holders = [...admission.holders];
  const granted: Place[] = [];
  const ranked = admission.queue
    .map((place, arrival) => ({ place, arrival }))
    .sort((a, b) => b.place.priority - a.place.priority || a.arrival - b.arrival);
  for (const { place } of ranked) {
    const onNode = (node: string) => holders.filter((holder) => holder.nodes.includes(node)).length;
    if (holders.length >= place.limits.total) break;
    if (place.nodes.some((node) => onNode(node) >= place.limits.perNode)) continue;
    holders.push(place);
    granted.push(place);
  }
  const queue = admission.queue.filter((place) => !granted.includes(place));
  return { admission: { queue, holders }, granted };
}
