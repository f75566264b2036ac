/** How many requests may be under way at once: what is beyond is refused at once, never queued. */
import { HttpError } from '../../edge/http/errors.ts';

export class Gate {
  readonly #what: string;
  readonly #max: number;
  readonly #maxEach: number;
  readonly #inside = new Map<string, number>();
  #count = 0;

  /** `max` together, `maxEach` of one user. */
  constructor(what: string, max: number, maxEach = max) {
    this.#what = what;
    this.#max = max;
    this.#maxEach = maxEach;
  }

  get count(): number {
    return this.#count;
  }

  /** Throws HttpError 429. The result lets the next one in; it may be called once. */
  enter(user = ''): () => void {
    const own = this.#inside.get(user) ?? 0;
    if (this.#count >= this.#max) throw this.#full(`${this.#max} ${this.#what} are under way here`);
    if (own >= this.#maxEach) throw this.#full(`${this.#maxEach} ${this.#what} of yours are under way here`);
    this.#count++;
    this.#inside.set(user, own + 1);
    return () => this.#leave(user);
  }

  #full(found: string): HttpError {
    return new HttpError(429, 'Busy', `${found}, and no more are taken; nothing was changed; try again after 1 s`);
  }

  #leave(user: string): void {
    this.#count--;
    const left = (this.#inside.get(user) ?? 1) - 1;
    if (left === 0) this.#inside.delete(user);
    else this.#inside.set(user, left);
  }
}
