import { constants, createReadStream } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { PassThrough, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DroverError } from '../../domain/errors.js';

/** So much of standard input can be read a second time. */
const REPEATABLE = 1024 * 1024;
const CHUNK = 256 * 1024;

/** A log as it is read: from its beginning, uncompressed, in chunks; and once more from its beginning. */
export class Content {
  private chunks: AsyncIterator<Buffer>;
  private returned: Buffer[] = [];
  /** Of standard input: what can be read again. */
  private kept: Buffer[] | undefined;
  private keptBytes = 0;
  private raw: Readable;

  private constructor(
    /** undefined: standard input. */
    private readonly file: string | undefined,
    /** Bytes of the file as it is stored; undefined for standard input. */
    readonly size: number | undefined,
    stdin: Readable,
  ) {
    this.kept = file === undefined ? [] : undefined;
    this.raw = file === undefined ? stdin : createReadStream(file, { highWaterMark: CHUNK });
    this.chunks = uncompressed(this.raw);
  }

  /**
   * @param file its path, or `-` for standard input
   * @throws DroverError `InvalidRequest` when there is no such file, or it can't be read
   */
  static async open(file: string, stdin: Readable = process.stdin): Promise<Content> {
    if (file === '-') return new Content(undefined, undefined, stdin);
    try {
      await access(file, constants.R_OK);
      const stats = await stat(file);
      if (stats.isDirectory()) throw new Error('it is a folder');
      // A pipe is read once, like standard input.
      return stats.isFile()
        ? new Content(file, stats.size, stdin)
        : new Content(undefined, undefined, createReadStream(file));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const reason = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'it may not be read' : message;
      throw new DroverError('InvalidRequest', `${file}: ${reason}`);
    }
  }

  /** Bytes read of the file as it is stored, for a progress bar. */
  get bytesRead(): number {
    return (this.raw as { readonly bytesRead?: number }).bytesRead ?? 0;
  }

  /** @returns undefined at the end */
  async read(): Promise<Buffer | undefined> {
    const returned = this.returned.pop();
    if (returned !== undefined) return returned;
    const next = await this.chunks.next();
    if (next.done === true) return undefined;
    if (this.kept !== undefined) {
      this.keptBytes += next.value.length;
      if (this.keptBytes <= REPEATABLE) this.kept.push(next.value);
      else this.kept = [];
    }
    return next.value;
  }

  /** What is given back is read next. */
  unread(bytes: Buffer): void {
    if (bytes.length > 0) this.returned.push(bytes);
  }

  /** @throws DroverError `Refused` when too much of standard input has been read to begin anew */
  async rewind(): Promise<void> {
    if (this.file !== undefined) {
      await this.close();
      this.returned = [];
      this.raw = createReadStream(this.file, { highWaterMark: CHUNK });
      this.chunks = uncompressed(this.raw);
    } else if (this.keptBytes <= REPEATABLE) {
      this.returned = this.kept!.reverse();
      this.kept = undefined;
    } else {
      throw new DroverError(
        'Refused',
        'it begins like a log that has been ingested, and then differs: standard input can not be read again, give it as a file',
      );
    }
  }

  /** What is being read is given up. */
  async close(): Promise<void> {
    this.raw.destroy();
    await this.chunks.return?.();
  }
}

/** Whether it is compressed is told by its first two bytes, not by its name. */
async function* uncompressed(stream: Readable): AsyncGenerator<Buffer> {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = { [Symbol.asyncIterator]: () => chunks };
  if (!(head[0] === 0x1f && head[1] === 0x8b)) {
    if (head.length > 0) yield head;
    yield* rest;
    return;
  }
  const compressed = async function* () {
    yield head;
    yield* rest;
  };
  const gunzip = createGunzip({ chunkSize: CHUNK });
  let failure: Error | undefined;
  const out = pipeline(compressed, gunzip, new PassThrough({ highWaterMark: 2 * CHUNK }), (error) => {
    if (error) failure = error;
  }) as unknown as AsyncIterable<Buffer>;
  try {
    yield* out;
  } catch (error) {
    const { code } = (failure ?? error) as NodeJS.ErrnoException;
    if (code?.startsWith('Z_') !== true) throw error;
    throw new DroverError('InvalidRequest', `its compressed data is damaged or not complete (${code})`);
  }
}
