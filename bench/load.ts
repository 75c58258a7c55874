import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FromLoad, LoadResult, LoadSettings, ToLoad } from './load-messages.js';

/** Handle on a load process. One thing is asked of it at a time. */
export class Load {
  private constructor(private readonly process: ChildProcess) {}

  /** Returns when the first writes are under way. */
  static async start(settings: LoadSettings): Promise<Load> {
    const program = fileURLToPath(new URL('./load-process.js', import.meta.url));
    const load = new Load(fork(program, { serialization: 'advanced' }));
    await load.ask({ kind: 'start', settings });
    return load;
  }

  async closeGate(): Promise<void> {
    await this.ask({ kind: 'closeGate' });
  }

  async openGate(uri: string): Promise<void> {
    await this.ask({ kind: 'openGate', uri });
  }

  /** Waits for every answer, then ends the process. */
  async stop(): Promise<LoadResult> {
    const answer = await this.ask({ kind: 'stop' });
    this.process.disconnect();
    if (answer.kind !== 'stopped') throw new Error(`the load process answered "${answer.kind}"`);
    return answer.result;
  }

  /** Whatever it is doing. */
  kill(): void {
    this.process.kill('SIGKILL');
  }

  private async ask(message: ToLoad): Promise<FromLoad> {
    const over = new AbortController();
    try {
      const ended = once(this.process, 'exit', { signal: over.signal }).then(() => {
        throw new Error(`the load process ended during "${message.kind}"`);
      });
      const answered = once(this.process, 'message', { signal: over.signal });
      this.process.send(message);
      const [answer] = (await Promise.race([answered, ended])) as [FromLoad];
      if (answer.kind === 'broken') throw new Error(`the load process could not ${message.kind}: ${answer.reason}`);
      return answer;
    } finally {
      over.abort();
    }
  }
}
