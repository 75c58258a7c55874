import type { Broken } from './child.js';

/** In a process that was started for a bench: answers each message of the one that has started it, and ends with that. */
export function answering<To, From>(handle: (message: To) => Promise<From | Broken>): void {
  process.on('message', (message: To) => {
    handle(message)
      .catch((error: unknown): Broken => ({ kind: 'broken', reason: String(error) }))
      .then((answer) => process.send!(answer))
      .catch(() => process.exit(1));
  });
  process.on('disconnect', () => process.exit(0));
}
