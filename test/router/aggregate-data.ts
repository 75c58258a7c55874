import type { Collection, Document } from 'mongodb';
import { BSON } from 'mongodb';
import { TOKEN_MIN } from '../../domain/token.js';
import { tokenOfKey } from '../../store/key-token.js';
import type { useCluster } from './cluster.js';

type Cluster = ReturnType<typeof useCluster>;

/** Half of p0 has gone to `b`. */
const middle = TOKEN_MIN / 2n;

/** On both nodes, as in the middle of a move: what a node does not own, it has wrong. */
export async function spread(cluster: Cluster, documents: readonly Document[]): Promise<void> {
  const [a, b, upper] = [cluster.stored('a'), cluster.stored('b'), cluster.stored('b', 'p1')];
  const stale = (document: Document) => ({ ...document, n: 1_000_000, a: 77, tags: ['stale'], pos: [9, 9] });
  const moving = documents.filter(({ customerId }) => tokenOfKey(customerId) < 0n);
  const isGone = ({ customerId }: Document) => tokenOfKey(customerId) < middle;
  await fill(a, moving.map((document) => (isGone(document) ? stale(document) : document))); // prettier-ignore
  await fill(b, moving.map((document) => (isGone(document) ? document : stale(document)))); // prettier-ignore
  await fill(
    upper,
    documents.filter(({ customerId }) => tokenOfKey(customerId) >= 0n),
  );
  await fill(cluster.plain(), documents);
}

async function fill(collection: Collection, documents: readonly Document[]): Promise<void> {
  await collection.deleteMany({});
  if (documents.length > 0) await collection.insertMany([...documents], { bypassDocumentValidation: true });
}

/** The partition is on its way, and the router knows. */
export async function handHalfOver(cluster: Cluster): Promise<void> {
  await cluster.announce();
  await cluster.handOver(middle);
  await cluster.acknowledged();
}

/** Types and all; of fractions not the last bits, as one server's rest on the order in which it adds up. */
export const written = (documents: readonly unknown[]): string[] =>
  documents.map((document) =>
    BSON.EJSON.stringify(document, { relaxed: false }).replaceAll(
      /"(\$numberDecimal|\$numberDouble)":"([^"]*\.[^"]*)"/g,
      (_, type: string, text: string) => `"${type}":"${Number(text).toPrecision(14)}"`,
    ),
  );
