import type { ChangeStream, Document } from 'mongodb';
import { random } from '../../examples/random.js';
import type { DroverClient, DroverCollection } from '../../router/index.js';

/** What happened to each document, in order, in words such as `insert 7`. */
export type Stories = Map<string, string[]>;

function tell(stories: Stories, id: string, what: string): void {
  const story = stories.get(id);
  if (story === undefined) stories.set(id, [what]);
  else story.push(what);
}

/** One writer for each document, so that it is known in which order its changes were acknowledged. */
export class LedgerWriters {
  readonly stories: Stories = new Map();
  writes = 0;
  private running = true;
  private readonly done: Promise<unknown>;

  constructor(
    private readonly client: DroverClient,
    private readonly orders: DroverCollection<Document>,
    keys: readonly string[],
    writers: number,
    seed: number,
  ) {
    const shares = Array.from({ length: writers }, (_, i) => keys.filter((_, k) => k % writers === i));
    this.done = Promise.all(shares.map((share, i) => this.write(share, random(seed + i))));
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.done;
  }

  private async write(keys: readonly string[], next: () => number): Promise<void> {
    const present = new Set<string>();
    while (this.running) {
      const customerId = keys[Math.floor(next() * keys.length)]!;
      await this.change(customerId, present, next());
      this.writes += 1;
    }
  }

  private async change(customerId: string, present: Set<string>, dice: number): Promise<void> {
    const { orders, stories } = this;
    const seq = this.writes;
    const _id = `order of ${customerId}`;
    const filter = { _id: _id as never, customerId };
    if (!present.has(_id)) {
      if (dice < 0.4) await orders.insertOne({ ...filter, seq });
      else if (dice < 0.7) await orders.insertMany([{ ...filter, seq }]);
      else await orders.updateOne(filter, { $set: { seq } }, { upsert: true });
      present.add(_id);
      return tell(stories, _id, `insert ${seq}`);
    }
    if (dice < 0.25) await orders.updateOne(filter, { $set: { seq } });
    else if (dice < 0.35) await orders.findOneAndUpdate(filter, { $set: { seq } });
    else if (dice < 0.45) await orders.updateMany(filter, { $set: { seq } });
    if (dice < 0.45) return tell(stories, _id, `update ${seq}`);
    if (dice < 0.6) {
      await orders.replaceOne(filter, { customerId, seq });
      return tell(stories, _id, `replace ${seq}`);
    }
    if (dice < 0.7) await orders.deleteOne(filter);
    else if (dice < 0.8) await orders.findOneAndDelete(filter);
    else if (dice < 0.9) await orders.deleteMany(filter);
    else {
      await using session = this.client.startSession();
      await session.withTransaction(async () => {
        await orders.updateOne(filter, { $set: { seq } }, { session });
        await orders.deleteOne(filter, { session });
        await orders.insertOne({ ...filter, seq }, { session });
      });
      for (const what of [`update ${seq}`, 'delete', `insert ${seq}`]) tell(stories, _id, what);
      return;
    }
    present.delete(_id);
    tell(stories, _id, 'delete');
  }
}

/** What a change stream has told of each document. */
export class Told {
  readonly stories: Stories = new Map();

  add({ operationType, documentKey, fullDocument, updateDescription }: Document): void {
    const seq: unknown = operationType === 'update' ? updateDescription.updatedFields.seq : fullDocument?.seq;
    tell(
      this.stories,
      documentKey._id as string,
      operationType === 'delete' ? 'delete' : `${operationType} ${String(seq)}`,
    );
  }

  /** Reads up to the insertion of these documents, behind which there is nothing. */
  async readTo(stream: ChangeStream<Document, Document>, last: readonly string[]): Promise<void> {
    for (const missing = new Set(last); missing.size > 0;) {
      const event = await stream.next();
      if (!missing.delete(event['documentKey']._id as string)) this.add(event);
    }
  }
}

/** Inserts a document under each of these keys, when everything else is done. @returns their `_id`s */
export async function insertLast(orders: DroverCollection<Document>, keys: readonly string[]): Promise<string[]> {
  const last = keys.map((customerId) => ({ _id: `last of ${customerId}`, customerId }));
  await orders.insertMany(last as never);
  return last.map(({ _id }) => _id);
}

export const changesIn = (stories: Stories): number =>
  [...stories.values()].reduce((sum, { length }) => sum + length, 0);
