import { NEWLINE, upToLastNewline } from './log-lines.js';

const QUOTE = 0x22;
/** A record that has not ended after so many bytes has a quotation mark too much or too few. */
const LONGEST_RECORD = 1024 * 1024;

/**
 * Finds where records of CSV end: at a line break outside of quotes. A quote opens at the beginning of a value only, and the next one
 * that is not doubled closes it, so that one too many is got over within a line or two. Each byte is looked at once, however many pieces
 * a record comes in.
 */
export class CsvCut {
  private readonly delimiter: Buffer;
  /** Of the bytes behind the last end of a record: so many have been looked at, and there were so many. */
  private lookedAt = 0;
  private left = 0;
  private isQuoted = false;

  constructor(delimiter: string) {
    this.delimiter = Buffer.from(delimiter);
  }

  /**
   * @param seen of the bytes, so many were left of those before; 0 to begin anew
   * @returns how many bytes are whole records
   */
  wholeRecords(bytes: Buffer, seen: number): number {
    if (seen !== this.left) Object.assign(this, { lookedAt: 0, isQuoted: false });
    let at = this.lookedAt;
    let end = 0;
    let newline = this.isQuoted ? -1 : newlineFrom(bytes, at);
    for (;;) {
      if (!this.isQuoted) {
        const quote = this.opening(bytes, at);
        const behind = quote < 0 ? bytes.length : quote;
        if (newline < behind) end = bytes.lastIndexOf(NEWLINE, behind) + 1;
        at = quote < 0 ? behind : quote + 1;
        if (quote < 0) break;
        this.isQuoted = true;
      }
      const quote = bytes.indexOf(QUOTE, at);
      // Whether one at the end is the first of two is told by what follows.
      at = quote < 0 ? bytes.length : quote;
      if (quote < 0 || quote === bytes.length - 1) break;
      const isDoubled = bytes[quote + 1] === QUOTE;
      at = quote + (isDoubled ? 2 : 1);
      this.isQuoted = isDoubled;
      if (!isDoubled && newline < at) newline = newlineFrom(bytes, at);
    }
    if (end === 0 && bytes.length > LONGEST_RECORD) {
      end = upToLastNewline(bytes);
      this.isQuoted = false;
      at = end;
    }
    this.left = bytes.length - end;
    this.lookedAt = at - end;
    return end;
  }

  /** The next quote at the beginning of a value. */
  private opening(bytes: Buffer, from: number): number {
    let quote = bytes.indexOf(QUOTE, from);
    while (quote > 0 && bytes[quote - 1] !== NEWLINE && !this.isBehindDelimiter(bytes, quote)) {
      quote = bytes.indexOf(QUOTE, quote + 1);
    }
    return quote;
  }

  private isBehindDelimiter(bytes: Buffer, at: number): boolean {
    const { delimiter } = this;
    const from = at - delimiter.length;
    return (
      from >= 0 &&
      bytes[from] === delimiter[0] &&
      (delimiter.length === 1 || delimiter.equals(bytes.subarray(from, at)))
    );
  }
}

function newlineFrom(bytes: Buffer, at: number): number {
  const found = bytes.indexOf(NEWLINE, at);
  return found < 0 ? Infinity : found;
}
