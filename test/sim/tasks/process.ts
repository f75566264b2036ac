/** A process of the task world: it can be paused and killed, and what was to happen in a paused one happens when it goes on. */
import type { Schedule } from '../schedule.ts';
import type { EtcdHost } from './etcd.ts';

export class TaskProcess implements EtcdHost {
  readonly #schedule: Schedule;
  #isAlive = true;
  #isPaused = false;
  #waiting: (() => void)[] = [];

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  run(act: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isPaused) this.#waiting.push(act);
    else act();
  }

  later(delayMs: number, label: string, act: () => void): void {
    this.#schedule.after(delayMs, label, () => this.run(act));
  }

  every(intervalMs: number, label: string, act: () => void): void {
    this.#schedule.after(intervalMs, label, () => {
      if (!this.#isAlive) return;
      if (!this.#isPaused) act();
      this.every(intervalMs, label, act);
    });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const act of waiting) this.run(act);
  }

  kill(): void {
    this.#isAlive = false;
    this.#waiting = [];
  }
}
