import pMap from 'p-map';

/**
 * Does the same for each item, so many at once. After an error nothing more is begun, and what is under way has ended before
 * it is thrown.
 *
 * @param work asks `stopped` before it begins anything more
 */
export async function allEnded<T, R>(
  items: Iterable<T>,
  concurrency: number,
  work: (item: T, stopped: () => boolean) => Promise<R>,
): Promise<R[]> {
  const errors: unknown[] = [];
  const stopped = () => errors.length > 0;
  const results = await pMap(
    items,
    async (item) => {
      if (stopped()) return undefined;
      try {
        return await work(item, stopped);
      } catch (error) {
        errors.push(error);
        return undefined;
      }
    },
    { concurrency },
  );
  if (stopped()) throw errors[0];
  return results as R[];
}
