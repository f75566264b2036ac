/**
 * What a target is fed: frames, and a string of choices that decides all the rest (where bytes are cut, what ends when), so that an input says everything
 * about its run. As text it is one line of hex each, choices first: short enough to be read in a commit.
 */
export type Input = { readonly choices: Buffer; readonly frames: readonly Buffer[] };

const ENDS = -1;

/** Bytes of the choices, one after the other; over and over when they are used up, so that any input is whole. */
export class Choices {
  readonly #bytes: Buffer;
  #next = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes.length > 0 ? bytes : Buffer.alloc(1);
  }

  /** 0 to 255. */
  byte(): number {
    const byte = this.#bytes[this.#next % this.#bytes.length] ?? 0;
    this.#next++;
    // Another round is another row of choices, else a short input would do one thing for ever.
    return (byte + 131 * Math.floor(this.#next / this.#bytes.length)) & 255;
  }

  /** 0 to count - 1. */
  below(count: number): number {
    return count <= 256 ? this.byte() % count : ((this.byte() << 16) | (this.byte() << 8) | this.byte()) % count;
  }

  chance(ofTen: number): boolean {
    return this.byte() % 10 < ofTen;
  }
}

export const formatInput = ({ choices, frames }: Input): string =>
  [choices, ...frames].map((bytes) => `${bytes.toString('hex')}\n`).join('');

export function parseInput(text: string): Input {
  const [choices = Buffer.alloc(0), ...frames] = text
    .split('\n')
    .slice(0, ENDS)
    .map((line) => Buffer.from(line, 'hex'));
  return { choices, frames };
}

export const inputBytes = ({ choices, frames }: Input): number => frames.reduce((sum, frame) => sum + frame.length, choices.length);

/** The frames as one stream, cut where the choices say: byte by byte here and there. */
export function* cutUp(frames: readonly Buffer[], choices: Choices): Generator<Buffer> {
  const stream = Buffer.concat(frames);
  for (let at = 0, pieces = 0; at < stream.length; pieces++) {
    const length = pieces >= PIECES_MAX ? stream.length : LENGTHS[choices.below(LENGTHS.length)] || 1 + choices.byte();
    yield stream.subarray(at, at + length);
    at += length;
  }
}

const PIECES_MAX = 200;
/** 0: any. */
const LENGTHS = [1, 27, 28, 96, 0, 0, 4096, 65_536, 1_000_000];
