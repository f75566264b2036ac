/**
 * Reads fields out of an option's data, which comes from outside: once one does not fit, it and all further ones are empty and `sound` is false,
 * so that a parser reads straight on and asks once at the end. Must never throw.
 */
import { STRING_BYTES_MAX } from './layout.ts';

export class FieldReader {
  readonly #data: Buffer;
  #position = 0;
  #sound = true;

  constructor(data: Buffer) {
    this.#data = data;
  }

  /** Loops over a count that was read must ask before each turn: the count may lie. */
  get sound(): boolean {
    return this.#sound;
  }

  /** Everything fitted and nothing is left over. */
  get complete(): boolean {
    return this.#sound && this.#position === this.#data.length;
  }

  u16(): number {
    const at = this.#take(2);
    return this.#sound ? this.#data.readUInt16BE(at) : 0;
  }

  u32(): number {
    const at = this.#take(4);
    return this.#sound ? this.#data.readUInt32BE(at) : 0;
  }

  /** Length (32 bits) and characters. */
  string(): string {
    const lengthBytes = this.u32();
    if (lengthBytes > STRING_BYTES_MAX) this.#sound = false;
    const at = this.#take(lengthBytes);
    return this.#sound ? this.#data.toString('utf8', at, at + lengthBytes) : '';
  }

  #take(lengthBytes: number): number {
    const at = this.#position;
    if (at + lengthBytes > this.#data.length) this.#sound = false;
    if (this.#sound) this.#position += lengthBytes;
    return at;
  }
}
