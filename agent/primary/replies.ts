/**
 * Replies that are ready, until they may leave: nobody newer may have been answered before them.
 *
 * With leases, a reply leaves while everybody who counts, in every shard, has promised to answer nobody newer yet. Where clocks may be stopped behind
 * our back (`leaseMs` 0), a promise for a time is worth nothing, so everybody is asked after the reply was ready. Whoever answers has promised no
 * higher epoch until then, so none of them was sealed by a newer primary; and it would have had to seal one of those who counted when they were asked,
 * before it could answer anybody. So what the reply says was still true when the question went out, which is between the request and the reply.
 *
 * Must never let a reply leave on an answer to a question that went out before it was ready.
 */
import type { Clock } from '../../core/clock.ts';
import { Inquiries, type Question } from './inquiries.ts';
import type { Replication } from './replication.ts';

export class Replies<Reply extends object> {
  readonly #replications: readonly Replication[];
  readonly #clock: Clock;
  readonly #questions: Inquiries;
  /** Gone when the request is: by its time-out, or with its client. */
  readonly #held = new Map<Reply, () => void>();
  #asksFirst = false;
  /** One question at a time, for all replies that are ready when it goes out. */
  #isAsking = false;

  constructor(options: { replications: readonly Replication[]; clock: Clock; question: Question }) {
    this.#replications = options.replications;
    this.#clock = options.clock;
    this.#questions = new Inquiries(options.question);
  }

  /** Either way is right by itself, so the setting may change at any time; leases that were granted are waited for by a new primary all the same. */
  useLeases(leaseMs: number): void {
    this.#asksFirst = leaseMs === 0;
  }

  /** Nobody needs to be waited for before the first reply: all have leased, or will be asked then. */
  get mayBegin(): boolean {
    return this.#asksFirst || this.#isLeased(this.#clock.monotonicMs());
  }

  /** A reply that was ready before `nowMs`, which is now, may leave now. */
  mayLeave(nowMs: number): boolean {
    return !this.#asksFirst && this.#isLeased(nowMs);
  }

  /** `leave` is called once, when it may, unless it was dropped before. */
  hold(reply: Reply, leave: () => void): void {
    this.#held.set(reply, leave);
    if (this.#asksFirst) this.step();
  }

  drop(reply: Reply): void {
    this.#held.delete(reply);
  }

  clear(): void {
    this.#held.clear();
    this.#questions.clear();
    this.#isAsking = false;
  }

  step(): void {
    if (this.#isAsking) this.#questions.step();
    if (this.#held.size === 0) return;
    if (this.#asksFirst) this.#ask();
    else if (this.#isLeased(this.#clock.monotonicMs())) this.#release([...this.#held.keys()]);
  }

  #isLeased(nowMs: number): boolean {
    for (const replication of this.#replications) if (nowMs >= replication.leaseUntilMs) return false;
    return true;
  }

  #ask(): void {
    if (this.#isAsking || this.#replications.some(({ counted }) => counted.length === 0)) return;
    const ready = [...this.#held.keys()];
    this.#isAsking = true;
    const always = () => true;
    this.#questions.begin(this.#replications, always, () => {
      this.#isAsking = false;
      this.#release(ready);
      this.step();
    });
  }

  #release(replies: readonly Reply[]): void {
    for (const reply of replies) {
      const leave = this.#held.get(reply);
      this.#held.delete(reply);
      leave?.();
    }
  }
}
