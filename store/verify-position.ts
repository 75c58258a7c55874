import type { Collection, Db } from 'mongodb';
import { Binary } from 'mongodb';
import { CHECKPOINTS } from './checkpoint.js';
import type { Side } from './document-matching.js';
import type { RawValue } from './raw-bson.js';
import type { Token } from '../domain/token.js';
import type { Part } from './part.js';
import { tokenOf } from './part.js';
import { compose, decode, field, idOf } from './raw-bson.js';
import type { RawBatch, RecordPosition } from './raw-documents.js';
import type { RecordPlace, TokenPlace } from './record-place.js';
import { goOnBehind, memberOf, tokenAt, tokenPlace } from './record-place.js';

const SIDES = ['source', 'target'] as const;

const positionId = (migration: string): string => `${migration}/verify`;

interface PositionDocument {
  readonly _id: string;
  readonly compared: number;
  /** Where each side was read in natural order: behind which document. */
  readonly places?: Readonly<Record<Side, RecordPlace>>;
  /** Where both were read in the order of `_id`: up to which, as a document of one field. */
  readonly ids?: Readonly<Record<Side, Binary>>;
  /** Where both were read in the order of tokens: up to which, of which there may be more documents. */
  readonly tokens?: Readonly<Record<Side, TokenPlace>>;
  /** Documents of one field each: the ids of what has not been found the same. */
  readonly suspects: readonly Binary[];
}

/** What an attempt finds of the one before it. */
export interface Verified {
  readonly compared: number;
  readonly suspects: readonly RawValue[];
  /** In natural order: both sides go on behind these. */
  readonly records?: Readonly<Record<Side, RecordPosition>>;
  /** In the order of `_id`: both sides go on at these. */
  readonly ids?: Readonly<Record<Side, RawValue>>;
  /** In the order of tokens: both sides go on at these. */
  readonly tokens?: Readonly<Record<Side, Token>>;
}

type LastRead = Readonly<Record<Side, RawBatch>>;

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

  /**
   * In natural order.
   *
   * @param members who was read, as asked before anything was
   */
  async notePlaces(
    last: LastRead,
    members: Readonly<Record<Side, string>>,
    compared: number,
    suspects: readonly RawValue[],
  ): Promise<void> {
    const place = (side: Side): RecordPlace => {
      const { documents, position } = last[side];
      return { member: members[side], _id: decode(idOf(documents.last)), record: position };
    };
    // After an election what has been read may be another member's.
    for (const side of SIDES) if ((await memberOf(this.dbs[side])) !== members[side]) return;
    await this.replace({ compared, places: { source: place('source'), target: place('target') } }, suspects);
  }

  /** In the order of `_id`, which is the same on all members. */
  async noteIds(last: LastRead, compared: number, suspects: readonly RawValue[]): Promise<void> {
    const id = (side: Side) => stored(idOf(last[side].documents.last));
    await this.replace({ compared, ids: { source: id('source'), target: id('target') } }, suspects);
  }

  /** In the order of tokens, which are the same on all members. */
  async noteTokens(last: LastRead, part: Part, compared: number, suspects: readonly RawValue[]): Promise<void> {
    const place = (side: Side) => tokenPlace(tokenOf(part, last[side].documents.last));
    await this.replace({ compared, tokens: { source: place('source'), target: place('target') } }, suspects);
  }

  private async replace(
    position: Omit<PositionDocument, '_id' | 'suspects'>,
    suspects: readonly RawValue[],
  ): Promise<void> {
    const document = { ...position, suspects: suspects.map(stored) };
    await this.documents.replaceOne({ _id: positionId(this.migration) }, document, { upsert: true });
  }

  /** @returns undefined where there is none, or one of the places is not what it was */
  async read(): Promise<Verified | undefined> {
    const found = await this.documents.findOne({ _id: positionId(this.migration) }, { promoteLongs: false });
    if (found === null) return undefined;
    const { places, ids, tokens } = found;
    const verified = { compared: Number(found.compared), suspects: found.suspects.map(restored) };
    if (ids !== undefined) return { ...verified, ids: { source: restored(ids.source), target: restored(ids.target) } };
    if (tokens !== undefined) {
      return { ...verified, tokens: { source: tokenAt(tokens.source)!, target: tokenAt(tokens.target)! } };
    }
    if (places === undefined) return undefined;
    const goOn = async (side: Side) =>
      goOnBehind(this.dbs[side], this.collection, await memberOf(this.dbs[side]), places[side]);
    const [source, target] = [await goOn('source'), await goOn('target')];
    if (source === undefined || target === undefined) return undefined;
    return { ...verified, records: { source, target } };
  }

  async remove(): Promise<void> {
    await removeVerifyPosition(this.dbs.target, this.migration);
  }
}

/** An id as it is, whatever its type. */
const stored = (id: RawValue): Binary => new Binary(compose([['_id', id]]));
const restored = ({ buffer }: Binary): RawValue => field(buffer, '_id')!;

export async function removeVerifyPosition(target: Db, migration: string): Promise<void> {
  await target.collection<PositionDocument>(CHECKPOINTS).deleteOne({ _id: positionId(migration) });
}
