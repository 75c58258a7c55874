import type { Bench } from './bench.js';
import { comparison } from './bench.js';
import type { MoverResult } from './mover-messages.js';
import { COLLECTION, DATABASE, moved, spokenResult } from './mover.js';
import { fillSales } from './sales.js';
import type { TwoNodes } from './two-nodes.js';
import { twoNodes } from './two-nodes.js';

/** The comparison of a copy with its source, against the making of it and a loop with the driver. */
export const verify: Bench = {
  about: 'comparing a copy with its source, against copying it and a loop with the driver',
  defaults: { documents: 1_000_000 },
  run: async ({ documents, rounds, say }) => {
    const nodes = await twoNodes();
    try {
      const name = `verify ${documents.toLocaleString('en-US')} documents`;
      say(`${name}: filling the source`);
      await fillSales(nodes.source.client.db(DATABASE), COLLECTION, documents);
      const measured: { copy: MoverResult; verify: MoverResult; loop: MoverResult }[] = [];
      for (let round = 0; round < rounds; round++) {
        await nodes.target.client.db(DATABASE).dropDatabase();
        const copy = await moved(nodes, 'copy');
        const verify = await finding(0, nodes, 'verify');
        const loop = await finding(0, nodes, 'compare by a loop');
        measured.push({ copy, verify, loop });
        say(
          `round ${round + 1}: copy ${spokenResult(copy)}, verify ${spokenResult(verify)}, loop ${spokenResult(loop)}`,
        );
      }
      await changeOneByte(nodes, documents);
      await finding(1, nodes, 'verify');
      say('one changed byte was found');
      const against = (what: 'copy' | 'loop', title: string) =>
        comparison(
          { case: name, against: title, unit: 's' },
          'lower',
          measured.map((each) => ({ drover: each.verify.seconds, baseline: each[what].seconds })),
        );
      return [against('copy', 'copy'), against('loop', 'plain driver')];
    } finally {
      await nodes.stop();
    }
  },
};

async function finding(different: number, nodes: TwoNodes, how: 'verify' | 'compare by a loop'): Promise<MoverResult> {
  const result = await moved(nodes, how);
  if (result.different !== different) throw new Error(`${how}: found ${result.different} different documents`);
  return result;
}

/** In a number of a document in the middle, of a length that stays the same. */
async function changeOneByte({ target }: TwoNodes, documents: number): Promise<void> {
  const sales = target.client.db(DATABASE).collection(COLLECTION);
  const [one] = await sales
    .find()
    .skip(Math.floor(documents / 2))
    .limit(1)
    .toArray();
  const options = { bypassDocumentValidation: true };
  const { modifiedCount } = await sales.updateOne(
    { _id: one!._id },
    { $bit: { 'items.0.count': { xor: 1 } } },
    options,
  );
  if (modifiedCount !== 1) throw new Error('no byte was changed');
}
