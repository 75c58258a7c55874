import type { Collection } from 'mongodb';
import { hasCode } from '../server-errors.js';

export interface SettingDocument {
  _id: 'automation' | 'schema' | 'rollUp';
  stopped?: boolean;
  stoppedBy?: string;
  at?: Date;
  version?: number;
  /** When it is due again. */
  dueAt?: Date;
}

/** Switches of the whole cluster. */
export class Settings {
  constructor(private readonly collection: Collection<SettingDocument>) {}

  async automationStopped(): Promise<boolean> {
    return (await this.collection.findOne({ _id: 'automation' }))?.stopped ?? false;
  }

  async setAutomationStopped(stopped: boolean, by: string, at: Date): Promise<void> {
    await this.collection.updateOne({ _id: 'automation' }, { $set: { stopped, stoppedBy: by, at } }, { upsert: true });
  }

  /**
   * What all workers together do once in a while: whoever asks first does it. By the server's clock.
   *
   * @returns whether it is due, and the caller's to do
   */
  async takeTurn(what: 'rollUp', everyMs: number): Promise<boolean> {
    try {
      await this.collection.updateOne({ _id: what }, { $setOnInsert: { dueAt: new Date(0) } }, { upsert: true });
    } catch (error) {
      // Another process has just done that.
      if (!hasCode(error, 'duplicateKey')) throw error;
    }
    const { matchedCount } = await this.collection.updateOne({ _id: what, $expr: { $lte: ['$dueAt', '$$NOW'] } }, [
      { $set: { dueAt: { $add: ['$$NOW', everyMs] } } },
    ]);
    return matchedCount === 1;
  }

  /** Whoever is at it still is. */
  async holdTurn(what: 'rollUp', everyMs: number): Promise<void> {
    await this.collection.updateOne({ _id: what }, [{ $set: { dueAt: { $add: ['$$NOW', everyMs] } } }]);
  }
}
