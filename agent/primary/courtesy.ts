/**
 * When copying to learners gives way to clients. Both want the same disks, processors and networks, and a client feels most what goes on all the time: so while
 * clients have requests, copying works in slices and rests between them, and how long it rests follows from how long the clients wait.
 *
 *   working --SLICE_MS have passed--> resting --`#rest` times as long--> working        any --nobody asks, or nothing to copy--> idle
 *
 * What they wait for when nothing is copied is seen in the rests themselves, and before the copying began. While all of them wait longer than WAIT_MAX times that,
 * rests grow by half with each slice; else they shrink by a tenth of a slice: up fast, down slowly, as congestion is met in networks.
 *
 * Pure. Must never stop copying for good: REST_MAX bounds what clients can take from a learner, for as long as it is one the volume is a replica short.
 */

/** As a tick of the engine is: nobody wakes it earlier to end a rest. */
export const SLICE_MS = 50;
/** Rests in slices. */
export const REST_MIN = 0.5;
export const REST_MAX = 5;
const REST_GROWTH = 1.5;
const REST_DECREASE = 0.1;
/** Of all requests, to those that meet no copying: on average, for nobody can keep the slowest of a hundred in so short a time. */
const WAIT_MAX = 1.5;
/** What is less is not worth a rest. */
const WAIT_MS_MIN = 0.5;
/** One that waited for a replica to be dropped says nothing of copying. */
const WAIT_MS_MAX = 200;
/** How much a request counts in an average. */
const WEIGHT = 1 / 128;
/** What was on its way when a rest began is still felt for so long. */
const ECHO_MS = 10;

export class Courtesy {
  /** Rest, in slices. */
  #rest = REST_MIN;
  #workingSinceMs: number | null = null;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  /** Requests that began later met no copying. */
  #quietSinceMs = Number.NEGATIVE_INFINITY;
  /** Averages, in milliseconds; null: of nobody yet. */
  #quietMs: number | null = null;
  #allMs: number | null = null;

  /** A client's request was answered. */
  waited(beganAtMs: number, nowMs: number): void {
    const waitMs = Math.min(WAIT_MS_MAX, nowMs - beganAtMs);
    if (beganAtMs >= this.#quietSinceMs) this.#quietMs = averaged(this.#quietMs, waitMs);
    this.#allMs = averaged(this.#allMs, waitMs);
  }

  /** Whether more may be copied now. `hasClients`: they have requests; then it may not always. */
  mayCopy(nowMs: number, hasClients: boolean): boolean {
    if (!hasClients) {
      this.idle(nowMs);
      // Those who come next meet what is under way.
      this.#quietSinceMs = Number.POSITIVE_INFINITY;
      return true;
    }
    if (nowMs < this.#restsUntilMs) return false;
    this.#workingSinceMs ??= nowMs;
    this.#quietSinceMs = Number.POSITIVE_INFINITY;
    const workedMs = nowMs - this.#workingSinceMs;
    if (workedMs < SLICE_MS) return true;
    this.#beginRest(nowMs, workedMs);
    return false;
  }

  /** Nothing is being copied. */
  idle(nowMs: number): void {
    if (this.#quietSinceMs === Number.POSITIVE_INFINITY) this.#quietSinceMs = nowMs + ECHO_MS;
    this.#workingSinceMs = null;
    this.#restsUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Until a rest was long enough to see a request that met nothing, it is taken for felt. */
  get #isFelt(): boolean {
    if (this.#allMs === null) return false;
    return this.#quietMs === null || this.#allMs > WAIT_MAX * Math.max(this.#quietMs, WAIT_MS_MIN);
  }

  #beginRest(nowMs: number, workedMs: number): void {
    this.#rest = this.#isFelt ? Math.min(REST_MAX, this.#rest * REST_GROWTH) : Math.max(REST_MIN, this.#rest - REST_DECREASE);
    this.idle(nowMs);
    // A slice in which the engine stood still, or waited for a learner, is not made up for.
    this.#restsUntilMs = nowMs + this.#rest * Math.min(workedMs, 2 * SLICE_MS);
  }
}

const averaged = (average: number | null, value: number): number => (average === null ? value : average + (value - average) * WEIGHT);
