import type { Collection } from 'mongodb';

export interface SettingDocument {
  _id: 'automation' | 'schema';
  stopped?: boolean;
  stoppedBy?: string;
  at?: Date;
  version?: number;
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
}
