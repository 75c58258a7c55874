import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a child that could not do something answers. */
export interface Broken {
  readonly kind: 'broken';
  readonly reason: string;
}

/** A program of this folder as a process of its own. One thing is asked of it at a time. */
export class Child<To extends { readonly kind: string }, From extends { readonly kind: string }> {
  private readonly process: ChildProcess;

  constructor(
    private readonly program: string,
    execArgv: readonly string[] = [],
  ) {
    const path = fileURLToPath(new URL(`./${program}.js`, import.meta.url));
    this.process = fork(path, { serialization: 'advanced', execArgv: [...execArgv] });
  }

  async ask(message: To): Promise<From> {
    const over = new AbortController();
    try {
      const ended = once(this.process, 'exit', { signal: over.signal }).then(() => {
        throw new Error(`${this.program} ended during "${message.kind}"`);
      });
      const answered = once(this.process, 'message', { signal: over.signal });
      this.process.send(message);
      const [answer] = (await Promise.race([answered, ended])) as [From | Broken];
      if (answer.kind === 'broken') {
        throw new Error(`${this.program} could not ${message.kind}: ${(answer as Broken).reason}`);
      }
      return answer as From;
    } finally {
      over.abort();
    }
  }

  /** It ends when it has nothing left to do. */
  release(): void {
    this.process.disconnect();
  }

  /** Whatever it is doing. */
  kill(): void {
    this.process.kill('SIGKILL');
  }
}
