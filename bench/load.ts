import { Child } from './child.js';
import type { FromLoad, LoadResult, LoadSettings, ToLoad } from './load-messages.js';

/** Handle on a load process. */
export class Load {
  private constructor(private readonly child: Child<ToLoad, FromLoad>) {}

  /** Returns when the first writes are under way. */
  static async start(settings: LoadSettings): Promise<Load> {
    const child = new Child<ToLoad, FromLoad>('load-process');
    await child.ask({ kind: 'start', settings });
    return new Load(child);
  }

  async closeGate(): Promise<void> {
    await this.child.ask({ kind: 'closeGate' });
  }

  async openGate(uri: string): Promise<void> {
    await this.child.ask({ kind: 'openGate', uri });
  }

  /** Waits for every answer, then ends the process. */
  async stop(): Promise<LoadResult> {
    const answer = await this.child.ask({ kind: 'stop' });
    this.child.release();
    if (answer.kind !== 'stopped') throw new Error(`the load process answered "${answer.kind}"`);
    return answer.result;
  }

  /** Whatever it is doing. */
  kill(): void {
    this.child.kill();
  }
}
