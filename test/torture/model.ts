/** What one document can be: absent, or the last value written into it and a counter. Every write has its own value. */
export type State = { readonly value: string; readonly count: number } | null;

export type Operation =
  | { readonly kind: 'insert'; readonly value: string }
  | { readonly kind: 'set'; readonly value: string }
  | { readonly kind: 'increment' }
  | { readonly kind: 'replace'; readonly value: string }
  /** Sets the value and counts one up, in a document that is made when it is not there. */
  | { readonly kind: 'upsert'; readonly value: string }
  | { readonly kind: 'delete' }
  /** Sets the value, counts one up, and returns the document as it was before or is after. */
  | { readonly kind: 'findAndIncrement'; readonly value: string; readonly returns: 'before' | 'after' }
  /** A strict read. */
  | { readonly kind: 'read' }
  /** Nothing that an application does: a state that comes back by itself. Only for explaining what went wrong. */
  | { readonly kind: 'return'; readonly state: State };

/** What an application was told. */
export interface Answer {
  /** Whether the document was there before. */
  readonly found: boolean;
  /** The document, where the operation returns it. */
  readonly document?: State;
}

/** What an operation does to a document, and what it answers: the specification that histories are held against. */
export function apply(before: State, operation: Operation): { readonly after: State; readonly answer: Answer } {
  const found = before !== null;
  const unchanged = { after: before, answer: { found } };
  switch (operation.kind) {
    case 'insert':
      return found ? unchanged : { after: { value: operation.value, count: 0 }, answer: { found } };
    case 'set':
      return found ? { after: { ...before, value: operation.value }, answer: { found } } : unchanged;
    case 'increment':
      return found ? { after: { ...before, count: before.count + 1 }, answer: { found } } : unchanged;
    case 'replace':
      return found ? { after: { value: operation.value, count: 0 }, answer: { found } } : unchanged;
    case 'upsert':
      return { after: { value: operation.value, count: (before?.count ?? 0) + 1 }, answer: { found } };
    case 'delete':
      return { after: null, answer: { found } };
    case 'findAndIncrement': {
      if (!found) return { after: before, answer: { found, document: null } };
      const after = { value: operation.value, count: before.count + 1 };
      return { after, answer: { found, document: operation.returns === 'before' ? before : after } };
    }
    case 'read':
      return { after: before, answer: { found, document: before } };
    case 'return':
      return { after: operation.state, answer: { found } };
  }
}

/** Whether an answer that was given is the one that the specification gives, as far as it says anything. */
export const agrees = (given: Answer, right: Answer): boolean =>
  given.found === right.found &&
  (given.document === undefined || stateKey(given.document) === stateKey(right.document ?? null));

export const stateKey = (state: State): string => (state === null ? '-' : `${state.value}#${state.count}`);

/** Whether an operation that got this answer has left the document as it was. */
export const changesNothing = (operation: Operation, answer: Answer): boolean => {
  if (operation.kind === 'read') return true;
  if (operation.kind === 'insert') return answer.found;
  return operation.kind !== 'upsert' && operation.kind !== 'return' && !answer.found;
};
