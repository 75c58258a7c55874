import { Listr } from 'listr2';

/** One of several things done at the same time; `report` shows what it is doing. */
export interface Task<T> {
  readonly title: string;
  run(report: (text: string) => void): Promise<T>;
}

/**
 * Runs all tasks at the same time and waits for every one, also when another fails. With `progress` it shows them, live
 * on a terminal and line by line elsewhere.
 */
export async function runTasks<T>(tasks: readonly Task<T>[], progress: boolean): Promise<PromiseSettledResult<T>[]> {
  const results: PromiseSettledResult<T>[] = [];
  const list = new Listr(
    tasks.map((task, index) => ({
      title: task.title,
      task: async (_context: unknown, view: { title: string }) => {
        try {
          const value = await task.run((text) => (view.title = `${task.title}: ${text}`));
          results[index] = { status: 'fulfilled', value };
        } catch (reason) {
          results[index] = { status: 'rejected', reason };
          // Only for the mark beside the title: whoever called shows the errors themselves, once.
          throw new Error('failed', { cause: reason });
        }
      },
    })),
    {
      concurrent: true,
      exitOnError: false,
      renderer: progress ? 'default' : 'silent',
      ...(progress ? { rendererOptions: { showErrorMessage: false } } : {}),
    },
  );
  await list.run();
  return results;
}

/** All values, or the first error with the messages of the others behind it. */
export function valuesOrThrow<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  const failed = results.filter((result) => result.status === 'rejected').map((result) => result.reason as unknown);
  if (failed.length === 1) throw failed[0];
  if (failed.length > 1) throw new AggregateError(failed, failed.map((error) => (error as Error).message).join('\n'));
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}
