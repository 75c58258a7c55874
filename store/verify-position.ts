import type { Collection, Db } from 'mongodb';
import { Binary } from 'mongodb';
import { CHECKPOINTS } from './checkpoint.js';
import type { Side } from './document-matching.js';
import type { RawValue } from './raw-bson.js';
import { compose, decode, field, idOf } from './raw-bson.js';
import type { RawBatch, RecordPosition } from './raw-documents.js';
import type { RecordPlace } from './record-place.js';
import { goOnBehind, memberOf } from './record-place.js';

const SIDES = ['source', 'target'] as const;

const positionId = (migration: string): string => `${migration}/verify`;

interface PositionDocument {
  readonly _id: string;
  readonly compared: number;
  readonly source: RecordPlace;
  readonly target: RecordPlace;
  /** Documents of one field each: the ids of what has not been found the same. */
  readonly suspects: readonly Binary[];
}

/** What an attempt finds of the one before it. */
export interface Verified {
  readonly compared: number;
  readonly suspects: readonly RawValue[];
  readonly records: Readonly<Record<Side, RecordPosition>>;
}

/** How far both sides have been compared; kept beside the copy. It only saves time: without it, all is compared anew. */
export class VerifyPosition {
  private readonly documents: Collection<PositionDocument>;

  constructor(
    private readonly dbs: Readonly<Record<Side, Db>>,
    private readonly collection: string,
    private readonly migration: string,
  ) {
    this.documents = dbs.target.collection(CHECKPOINTS);
  }

  /** @param members who was read, as asked before anything was */
  async note(
    last: Readonly<Record<Side, RawBatch>>,
    members: Readonly<Record<Side, string>>,
    compared: number,
    suspects: readonly RawValue[],
  ): Promise<void> {
    const place = (side: Side): RecordPlace => {
      const { documents, position } = last[side];
      return { member: members[side], _id: decode(idOf(documents.at(-1)!)), record: position };
    };
    // After an election what has been read may be another member's.
    for (const side of SIDES) if ((await memberOf(this.dbs[side])) !== members[side]) return;
    const set = {
      compared,
      source: place('source'),
      target: place('target'),
      suspects: suspects.map((id) => new Binary(compose([['_id', id]]))),
    };
    await this.documents.updateOne({ _id: positionId(this.migration) }, { $set: set }, { upsert: true });
  }

  /** @returns undefined where there is none, or one of the places is not what it was */
  async read(): Promise<Verified | undefined> {
    const found = await this.documents.findOne({ _id: positionId(this.migration) }, { promoteLongs: false });
    if (found === null) return undefined;
    const goOn = async (side: Side) =>
      goOnBehind(this.dbs[side], this.collection, await memberOf(this.dbs[side]), found[side]);
    const [source, target] = [await goOn('source'), await goOn('target')];
    if (source === undefined || target === undefined) return undefined;
    return {
      compared: Number(found.compared),
      suspects: found.suspects.map(({ buffer }) => field(buffer, '_id')!),
      records: { source, target },
    };
  }

  async remove(): Promise<void> {
    await removeVerifyPosition(this.dbs.target, this.migration);
  }
}

export async function removeVerifyPosition(target: Db, migration: string): Promise<void> {
  await target.collection<PositionDocument>(CHECKPOINTS).deleteOne({ _id: positionId(migration) });
}
