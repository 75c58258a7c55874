import type { ClientSession, Collection, Document, ListIndexesOptions } from 'mongodb';
import { ListIndexesCursor } from 'mongodb';
import type { Batches } from './batches.js';
import { DriverAnswer } from './driver-answer.js';

/** The driver's cursor over indexes that are looked up when it is first read. */
export class DroverListIndexesCursor extends ListIndexesCursor {
  private batches: Batches<Document> | undefined;

  constructor(
    handle: Collection,
    options: ListIndexesOptions,
    private readonly list: () => Promise<readonly Document[]>,
  ) {
    super(handle, options);
  }

  override clone(): DroverListIndexesCursor {
    return new DroverListIndexesCursor(this.parent, { ...this.options }, this.list);
  }

  /** For the driver's class: the first answer. */
  async _initialize(session: ClientSession) {
    this.batches = inOne(await this.list());
    return { server: undefined, session, response: await DriverAnswer.of(this.batches) };
  }

  /** For the driver's class: the next one. */
  getMore(): Promise<DriverAnswer> {
    return DriverAnswer.of(this.batches!);
  }
}

function inOne(documents: readonly Document[]): Batches<Document> {
  let left = documents.length > 0 ? [...documents] : null;
  return {
    next: () => {
      const batch = left;
      left = null;
      return Promise.resolve(batch);
    },
    close: () => Promise.resolve(),
  };
}
