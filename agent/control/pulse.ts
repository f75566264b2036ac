/** Whether a thread still answers: asked in its turn, and how long it has owed the answer. Must never count time in which this one stood still itself. */

/** Of the time between two ticks no more counts: the loop may rest for a second, and if it stood still for longer the answer waits to be heard. */
const TICK_COUNTED_MS_MAX = 1_500;

export type PulseOptions = {
  askEveryMs: number;
  ask: (id: number) => void;
};

export class Pulse {
  readonly #options: PulseOptions;
  #id = 0;
  #isOut = false;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #tickedAtMs = Number.NEGATIVE_INFINITY;
  #silentMs = 0;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** For how long it has owed an answer. */
  get silentMs(): number {
    return this.#silentMs;
  }

  get hasAnswered(): boolean {
    return !this.#isOut;
  }

  /** When it is asked next, or its silence is looked at. */
  get dueAtMs(): number {
    return (this.#isOut ? this.#tickedAtMs : this.#askedAtMs) + this.#options.askEveryMs;
  }

  tick(nowMs: number): number {
    const passedMs = nowMs - this.#tickedAtMs;
    this.#tickedAtMs = nowMs;
    if (this.#isOut) this.#silentMs += Math.min(passedMs, TICK_COUNTED_MS_MAX);
    else if (nowMs - this.#askedAtMs >= this.#options.askEveryMs) this.#begin(nowMs);
    return this.#silentMs;
  }

  answered(id: number): void {
    if (id !== this.#id) return;
    this.#isOut = false;
    this.#silentMs = 0;
  }

  #begin(nowMs: number): void {
    this.#isOut = true;
    this.#askedAtMs = nowMs;
    this.#options.ask(++this.#id);
  }
}
