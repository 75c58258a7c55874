import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { MoverResult, MoverSettings } from './mover-messages.js';
import type { TwoNodes } from './two-nodes.js';

export const DATABASE = 'bench';
export const COLLECTION = 'sales';

/** Lets a process of its own do one thing between two nodes. */
export async function moved(nodes: TwoNodes, how: MoverSettings['how']): Promise<MoverResult> {
  const mover = fork(fileURLToPath(new URL('./mover-process.js', import.meta.url)));
  const settings: MoverSettings = {
    how,
    source: nodes.source.uri,
    target: nodes.target.uri,
    database: DATABASE,
    collection: COLLECTION,
  };
  mover.send(settings);
  const [result] = (await Promise.race([
    once(mover, 'message'),
    once(mover, 'exit').then(() => Promise.reject(new Error('the mover has failed'))),
  ])) as [MoverResult];
  return result;
}

/** Of a result, for people. */
export const spokenResult = ({ seconds, idleMb, peakMb }: MoverResult): string =>
  `${seconds.toFixed(1)} s (memory ${idleMb.toFixed(0)} MB, at most ${peakMb.toFixed(0)} MB)`;
