import type { Collection } from 'mongodb';
import { DroverError } from '../../domain/errors.js';

/**
 * `observed`: recorded only (mode observe); `recommended`: waits for approval; then `approved` -> `started`, `rejected` or
 * `expired`. `started` names the migration's workflow. `refused`: the move could not be started, `note` says why.
 */
export type DecisionState = 'observed' | 'recommended' | 'approved' | 'started' | 'rejected' | 'expired' | 'refused';

export interface DecisionDocument {
  _id: string;
  /** Drover's time (scaled in replays). */
  at: Date;
  keyspace: string;
  partition: string;
  source: string;
  target: string;
  mode: string;
  state: DecisionState;
  score?: number;
  predictedScore?: number;
  crossingAt?: Date;
  probability?: number;
  gain?: number;
  /** Coded reasons with their sentences. */
  reasons: { code: string; text: string }[];
  rejected: { node: string; code: string; text: string }[];
  workflowId?: string;
  decidedBy?: string;
  note?: string;
}

export class Decisions {
  constructor(private readonly collection: Collection<DecisionDocument>) {}

  /** Idempotent by id. */
  async insert(decisions: readonly DecisionDocument[]): Promise<void> {
    if (decisions.length === 0) return;
    await this.collection.bulkWrite(
      decisions.map(({ _id, ...rest }) => ({
        updateOne: { filter: { _id }, update: { $setOnInsert: rest }, upsert: true },
      })),
    );
  }

  async list(
    filter: Partial<Pick<DecisionDocument, 'state' | 'keyspace'>> = {},
    limit = 100,
  ): Promise<DecisionDocument[]> {
    return this.collection.find(filter, { sort: { at: -1, _id: 1 }, limit }).toArray();
  }

  /** @throws DroverError `InvalidRequest` when there is no such decision */
  async get(id: string): Promise<DecisionDocument> {
    const decision = await this.collection.findOne({ _id: id });
    if (decision !== null) return decision;
    throw new DroverError('InvalidRequest', `there is no decision "${id}"; "drover decisions" lists them`);
  }

  async update(id: string, set: Partial<DecisionDocument>): Promise<void> {
    await this.collection.updateOne({ _id: id }, { $set: set });
  }
}
