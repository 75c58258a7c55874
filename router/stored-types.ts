import { MongoServerError } from 'mongodb';

/** For who writes what was read: values of exactly the types that they were stored with, as far as `_id`s need it. */
export const AS_STORED = { promoteLongs: false, useBigInt64: false, promoteBuffers: false } as const;

/** Where answers are read with their types, so is the code of an error, which everybody compares with numbers. @returns the error */
export function withPlainCode(error: unknown): unknown {
  if (error instanceof MongoServerError && typeof error.code === 'object') error.code = Number(error.code);
  return error;
}
