/** Randomness as a port, so that the simulator can own it. */

export interface Random {
  /** `length` bytes as lower-case hex. */
  hex(length: number): string;
  /** Uniform in [0, 1). */
  unit(): number;
}

export const systemRandom: Random = {
  hex: (length) => Buffer.from(crypto.getRandomValues(new Uint8Array(length))).toString('hex'),
  unit: () => Math.random(),
};
