import { CommanderError } from 'commander';
import { Secrets } from '../../config/index.js';
import { DroverError, ErrorCode } from '../../domain/errors.js';

/**
 * The only way out for what a command says. Results go to stdout: one JSON document with --json, text for people
 * otherwise. Notes, progress and errors go to stderr. No secret passes.
 */
export class Terminal {
  #secrets = new Secrets();

  constructor(
    readonly json: boolean,
    private readonly stdout: NodeJS.WriteStream = process.stdout,
    private readonly stderr: NodeJS.WriteStream = process.stderr,
  ) {
    // `drover ... | head` has read enough.
    stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
    });
  }

  /** From now on these are masked. */
  guard(secrets: Secrets): void {
    this.#secrets = secrets;
  }

  /** Whether there is somebody who sees a progress bar. */
  get interactive(): boolean {
    return this.stderr.isTTY && !this.json;
  }

  /** The outcome of the command: said once. */
  result(document: unknown, forPeople: string): void {
    this.stdout.write(`${this.json ? this.#toJson(document) : this.#secrets.redact(forPeople)}\n`);
  }

  /** A sentence on the way. */
  note(sentence: string): void {
    this.stderr.write(`${this.#secrets.redact(sentence)}\n`);
  }

  /** Says why the command failed, and sets the exit code. */
  fail(error: unknown): void {
    const { code, message, exitCode } = described(error);
    this.note(message);
    if (this.json) this.stdout.write(`${this.#toJson({ error: { code, message } })}\n`);
    process.exitCode = exitCode;
  }

  /** The command ran to its end, but what was asked for did not come about: what did, and why. */
  unsuccessful(document: object, forPeople: string, message: string, code: 'Failed' | ErrorCode = 'Failed'): void {
    this.result({ ...document, error: { code, message } }, forPeople);
    this.note(message);
    process.exitCode = code === 'Failed' ? 1 : ErrorCode[code].exitCode;
  }

  /** Redacts text by text: in the finished JSON, a mask could swallow the quotes between two of them. */
  #toJson(document: unknown): string {
    return JSON.stringify(document, (_, value: unknown) => {
      if (typeof value === 'string') return this.#secrets.redact(value);
      // Tokens have 64 bits, more than a number in JSON can be relied on to keep.
      return typeof value === 'bigint' ? String(value) : value;
    });
  }
}

function described(error: unknown): { code: string; message: string; exitCode: number } {
  if (error instanceof DroverError) {
    return { code: error.code, message: error.message, exitCode: ErrorCode[error.code].exitCode };
  }
  if (error instanceof CommanderError) {
    // A group without its command has shown its help by now.
    const message =
      error.code === 'commander.help'
        ? 'a command is missing'
        : error.message.replace(/^error: /, '').replace('\n', ' ');
    return { code: 'InvalidRequest', message, exitCode: ErrorCode.InvalidRequest.exitCode };
  }
  const message = error instanceof Error ? error.message || error.name : String(error);
  return { code: 'Failed', message, exitCode: 1 };
}
