/**
 * The history: what was asked and answered when, by one clock that never goes back. A call is noted before its first byte is sent, a return after its last
 * byte is here, so that what happened lies between. Judges nothing.
 */
import { writeFileSync } from 'node:fs';
import { BLOCK_BYTES, type BlockName, decodeBlock, encodeBlock, valueName } from './content.ts';

type Line = { client: number; kind: 'read' | 'write'; block: string; value: string; callNs: number; returnNs: number | null };
type Fault = { fault: string; callNs: number; returnNs: number | null };

/** Blocks of one volume that lie behind one another. */
export type Range = { volume: string; salt: number; firstBlock: number; blocks: number };

export type Totals = { reads: number; writes: number; unknownWrites: number; failedReads: number };

export class Recorder {
  readonly #startNs = process.hrtime.bigint();
  readonly #lines: Line[] = [];
  readonly #faults: Fault[] = [];
  readonly #numbers = new Map<number, number>();
  readonly totals: Totals = { reads: 0, writes: 0, unknownWrites: 0, failedReads: 0 };

  /** Since the run began; a double holds it exactly for a hundred days. */
  nowNs(): number {
    return Number(process.hrtime.bigint() - this.#startNs);
  }

  /** The content to be written, and what to call when the answer is here: true, it worked; anything else leaves it unknown for ever. */
  beginWrite(client: number, range: Range): { data: Buffer; end: (isAcknowledged: boolean) => void } {
    const contents: Buffer[] = [];
    const lines: Line[] = [];
    for (const name of namesOf(range)) {
      const number = (this.#numbers.get(client) ?? 0) + 1;
      this.#numbers.set(client, number);
      contents.push(encodeBlock(name, client, number));
      lines.push({
        client,
        kind: 'write',
        block: `${range.volume}/${name.block}`,
        value: valueName(client, number),
        callNs: 0,
        returnNs: null,
      });
    }
    const callNs = this.nowNs();
    for (const line of lines) line.callNs = callNs;
    this.#lines.push(...lines);
    return { data: Buffer.concat(contents), end: (isAcknowledged) => this.#endWrite(lines, isAcknowledged) };
  }

  #endWrite(lines: readonly Line[], isAcknowledged: boolean): void {
    const returnNs = this.nowNs();
    if (isAcknowledged) for (const line of lines) line.returnNs = returnNs;
    this.totals[isAcknowledged ? 'writes' : 'unknownWrites']++;
  }

  /** Null: it failed, so nothing was read. */
  beginRead(client: number, range: Range): { end: (data: Buffer | null) => void } {
    const callNs = this.nowNs();
    return {
      end: (data) => {
        const returnNs = this.nowNs();
        this.totals[data === null ? 'failedReads' : 'reads']++;
        if (data === null) return;
        for (const [index, name] of namesOf(range).entries()) {
          const value = decodeBlock(name, data.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES));
          this.#lines.push({ client, kind: 'read', block: `${range.volume}/${name.block}`, value, callNs, returnNs });
        }
      },
    };
  }

  /** Gives what to call when it is over. */
  beginFault(fault: string): () => void {
    const line: Fault = { fault, callNs: this.nowNs(), returnNs: null };
    this.#faults.push(line);
    return () => {
      line.returnNs = this.nowNs();
    };
  }

  write(file: string): void {
    const lines = [...this.#lines, ...this.#faults].map((line) => `${JSON.stringify(line)}\n`);
    writeFileSync(file, lines.join(''));
  }
}

const namesOf = ({ salt, firstBlock, blocks }: Range): BlockName[] =>
  Array.from({ length: blocks }, (_, index) => ({ salt, block: firstBlock + index }));
