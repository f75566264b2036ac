/**
 * Requests that wait because their volume has a limit, in the order in which they came. They have not begun: nothing of theirs runs out of time here.
 *
 * It must never let one overtake another, nor keep one when there is no limit any more.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeLimits } from '../../core/config.ts';
import { IoError } from '../ports.ts';
import { Limits } from './limits.ts';

/** Clients are bounded themselves; this bounds their number. */
export const THROTTLED_MAX = 16_384;

type Held = { owner: object; bytes: number; go: () => void; refuse: (error: IoError) => void };

export class Throttle {
  readonly #clock: Clock;
  readonly #limits = new Limits();
  #held: Held[] = [];
  #isOpen = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  set(limits: VolumeLimits | undefined): void {
    this.#limits.set(limits, this.#clock.monotonicMs());
  }

  /** True: the request may go now. Where nobody is served nobody is held, for refusals cost nothing. */
  passes(bytes: number): boolean {
    if (this.#held.length > 0) return false;
    if (this.#limits.isOff || !this.#isOpen) return true;
    return this.#limits.take(bytes, this.#clock.monotonicMs());
  }

  hold(held: Held): void {
    if (this.#held.length < THROTTLED_MAX) this.#held.push(held);
    else held.refuse(new IoError('io', `more than ${THROTTLED_MAX} requests wait for the volume's limits`));
  }

  /** Lets go whose turn it is. What comes in meanwhile waits behind the others. */
  step(): void {
    if (this.#held.length === 0) return;
    const nowMs = this.#clock.monotonicMs();
    for (let next = this.#held[0]; next && this.#limits.take(next.bytes, nowMs); next = this.#held[0]) {
      this.#held.shift();
      next.go();
    }
  }

  open(): void {
    this.#isOpen = true;
  }

  /** Whoever waits hears why not. */
  close(error: IoError): void {
    this.#isOpen = false;
    const held = this.#held;
    this.#held = [];
    for (const { refuse } of held) refuse(error);
  }

  /** Nobody hears anything. */
  silence(): void {
    this.#isOpen = false;
    this.#held = [];
  }

  forget(owner: object): void {
    this.#held = this.#held.filter((held) => held.owner !== owner);
  }
}
