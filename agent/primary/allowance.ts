/** What may be spent of a bandwidth: refilled by time, saved up for a moment only. It may go below zero; then nothing begins until time has paid for it. Pure. */

/** How much of a second's bandwidth may be used in one burst. */
const BURST_SECONDS = 0.25;

export class Allowance {
  #bytes = 0;
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  refill(nowMs: number, bytesPerSecond: number): void {
    this.#bytes = Math.min(bytesPerSecond * BURST_SECONDS, this.#bytes + ((nowMs - this.#atMs) * bytesPerSecond) / 1_000);
    this.#atMs = nowMs;
  }

  spend(bytes: number): void {
    this.#bytes -= bytes;
  }

  get isLeft(): boolean {
    return this.#bytes > 0;
  }
}
