import { MongoClient } from 'mongodb';
import type { Order, Orders } from './orders.js';

/** What an application builds that stops writing to move a collection: writes wait here while it is closed. */
export class Gate {
  private waiting: (() => void)[] = [];
  private open = true;
  private readonly underWay = new Set<Promise<void>>();

  private constructor(
    private client: MongoClient,
    private readonly database: string,
    private readonly collection: string,
  ) {}

  static async connect(uri: string, database: string, collection: string): Promise<Gate> {
    return new Gate(await connect(uri), database, collection);
  }

  async write(request: (orders: Orders) => Promise<void>): Promise<void> {
    while (!this.open) await new Promise<void>((resolve) => this.waiting.push(resolve));
    const written = request(this.client.db(this.database).collection<Order>(this.collection));
    this.underWay.add(written);
    try {
      await written;
    } finally {
      this.underWay.delete(written);
    }
  }

  /** Ends when no write is under way any more. */
  async shut(): Promise<void> {
    this.open = false;
    await Promise.allSettled(this.underWay);
  }

  async openAt(uri: string): Promise<void> {
    const before = this.client;
    this.client = await connect(uri);
    this.open = true;
    for (const pass of this.waiting.splice(0)) pass();
    await before.close();
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}

/** With the same guarantees as Drover's router asks for. */
const connect = (uri: string) => new MongoClient(uri, { writeConcern: { w: 'majority' } }).connect();
