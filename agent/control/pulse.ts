/** Whether a thread still answers. Must never count time in which this one stood still itself. */

/** How often it is asked. */
const ASK_MS = 2_000;
/** Between two ticks further apart than this nobody's silence counts. */
const STANDSTILL_MS = 1_000;

export class Pulse {
  readonly #ask: (id: number) => void;
  #id = 0;
  #isOut = false;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #tickAtMs = Number.NEGATIVE_INFINITY;

  constructor(ask: (id: number) => void) {
    this.#ask = ask;
  }

  /** For how long it has owed an answer. */
  tick(nowMs: number): number {
    const stoodStill = nowMs - this.#tickAtMs > STANDSTILL_MS;
    this.#tickAtMs = nowMs;
    if (this.#isOut && stoodStill) this.#askedAtMs = nowMs;
    if (this.#isOut) return nowMs - this.#askedAtMs;
    if (nowMs - this.#askedAtMs >= ASK_MS) this.#begin(nowMs);
    return 0;
  }

  answered(id: number): void {
    if (id === this.#id) this.#isOut = false;
  }

  #begin(nowMs: number): void {
    this.#isOut = true;
    this.#askedAtMs = nowMs;
    this.#ask(++this.#id);
  }
}
