/** Not part of the driver's public types: which errors it repeats a read for. */
declare module 'mongodb/lib/error.js' {
  import type { MongoError } from 'mongodb';

  export function isRetryableReadError(error: MongoError): boolean;
}
