import { expect, it } from 'vitest';
import { ensureSchema, SCHEMA_VERSION } from '../../store/catalog/schema.js';
import { useServers } from './servers.js';

const { clients } = useServers(1);
const AT_ONCE = 8;

it('a catalog is brought up to date by several processes at once', async () => {
  for (let i = 0; i < 5; i++) {
    const db = clients[0]!.db(`catalog${i}`);
    await Promise.all(Array.from({ length: AT_ONCE }, () => ensureSchema(db)));
    expect(await db.collection('settings').findOne({}, { projection: { version: 1, _id: 0 } })).toEqual({
      version: SCHEMA_VERSION,
    });
  }
});
