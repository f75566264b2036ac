/** The local replica's bytes past its session, for `primaryBench.ts`: its letter as a capital, so that it shows which way a read went. */
import type { LocalReads } from '../../agent/ports.ts';
import { BLOCK_BYTES } from '../../core/extent.ts';

export class FakeReads implements LocalReads {
  readonly #letter: string;
  isOpen = true;
  /** Nothing is in memory. */
  isCold = false;
  whileReading: () => void = () => undefined;
  /** What was read, in blocks. */
  readonly offsets: number[] = [];

  constructor(letter: string) {
    this.#letter = letter;
  }

  read(offsetBytes: number, target: Buffer): boolean {
    if (!this.isOpen) throw new Error('read past a session that has ended');
    if (this.isCold) return false;
    this.offsets.push(offsetBytes / BLOCK_BYTES);
    target.fill(this.#letter.toUpperCase());
    this.whileReading();
    return true;
  }

  close(): void {
    this.isOpen = false;
  }
}
