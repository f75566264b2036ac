/**
 * Feeds a target with inputs made of those that were found to reach something new, for a time. An input that the target fails on is made smaller and told.
 * Knows nothing of what a target is. The same seed begins in the same way; how
 * often coverage is asked for depends on how fast the machine is. What is found is an input, and that is repeatable.
 */
import { SeededRandom } from '../support/seededRandom.ts';
import { Coverage } from './coverage.ts';
import { type Input, inputBytes } from './input.ts';
import { type Field, mutate } from './mutate.ts';

export type Target = {
  readonly name: string;
  /** The files whose places count. */
  readonly sources: RegExp;
  seeds(): Input[];
  /** Where a frame's numbers lie: half of what is set is one of them. */
  readonly fields?: readonly Field[];
  /** A frame after a mutation, perhaps made whole again: else nothing would get past its checksum. */
  repair?(frame: Buffer, random: SeededRandom): Buffer;
  /** Throws where something that must hold does not. */
  run(input: Input): void;
};

export type Failure = { input: Input; error: unknown };
export type Report = { runs: number; places: number; kept: Input[]; failure: Failure | null };

/** Coverage is asked for once for so many inputs. */
const BATCH_MIN = 16;
const BATCH_MAX = 1024;
const TELL_MS = 10_000;
const SHRINK_RUNS_MAX = 400;
/** Slower ones are not kept: each would cost all that come of it. */
const SLOW_MS = 250;

export class Fuzzer {
  readonly #target: Target;
  readonly #random: SeededRandom;
  readonly #coverage: Coverage;
  readonly #corpus: Input[];
  readonly #kept: Input[] = [];
  #runs = 0;

  constructor(target: Target, corpus: readonly Input[], seed: number) {
    this.#target = target;
    this.#random = new SeededRandom(seed);
    this.#coverage = new Coverage(target.sources);
    this.#corpus = [...target.seeds(), ...corpus];
  }

  /** Until the time is over or something fails. */
  run(durationMs: number, say: (line: string) => void): Report {
    const endMs = performance.now() + durationMs;
    const failure = this.#replayCorpus() ?? this.#explore(endMs, say);
    return { runs: this.#runs, places: this.#coverage.places, kept: this.#kept, failure: failure && this.#shrink(failure) };
  }

  #replayCorpus(): Failure | null {
    for (const input of this.#corpus) {
      const failure = this.#try(input);
      if (failure) return failure;
    }
    this.#coverage.takeNew();
    return null;
  }

  #explore(endMs: number, say: (line: string) => void): Failure | null {
    let toldMs = performance.now();
    for (let size = BATCH_MIN; performance.now() < endMs; ) {
      const startMs = performance.now();
      const batch = Array.from({ length: size }, () => this.#next());
      for (const input of batch) {
        const failure = this.#try(input);
        if (failure) return failure;
      }
      const ranMs = performance.now();
      const fresh = this.#coverage.takeNew();
      // Asking costs as much for one run as for a thousand: no more than a fifth of the time goes into it.
      if (performance.now() - ranMs > (ranMs - startMs) / 4) size = Math.min(BATCH_MAX, size * 2);
      if (fresh.size > 0) this.#keepWhoReaches(fresh, batch);
      if (performance.now() - toldMs < TELL_MS) continue;
      toldMs = performance.now();
      say(`${this.#target.name}: ${this.#runs} runs, ${this.#coverage.places} places, ${this.#corpus.length} inputs`);
    }
    return null;
  }

  #next(): Input {
    // The youngest reach what is least known.
    const youngest = Math.min(this.#corpus.length, 32);
    const index = this.#random.chance(0.5)
      ? this.#corpus.length - 1 - this.#random.below(youngest)
      : this.#random.below(this.#corpus.length);
    const input = this.#corpus[index] ?? { choices: Buffer.alloc(0), frames: [] };
    const repair = (frame: Buffer): Buffer => this.#target.repair?.(frame, this.#random) ?? frame;
    const others = (): Input => this.#corpus[this.#random.below(this.#corpus.length)] ?? input;
    return mutate(input, { random: this.#random, others, repair, fields: this.#target.fields ?? [] });
  }

  /** Which of a batch it was is found by running halves of it again. `fresh`: what nobody has been found for yet. */
  #keepWhoReaches(fresh: Set<number>, batch: readonly Input[]): void {
    if (batch.length === 0 || fresh.size === 0) return;
    const startMs = performance.now();
    this.#coverage.take(fresh);
    for (const input of batch) this.#try(input);
    const isSlow = (performance.now() - startMs) / batch.length > SLOW_MS;
    const reached = this.#coverage.take(fresh);
    const [input] = batch;
    if (reached.length === 0 || input === undefined) return;
    if (batch.length > 1) {
      this.#keepWhoReaches(fresh, batch.slice(0, batch.length >> 1));
      this.#keepWhoReaches(fresh, batch.slice(batch.length >> 1));
      return;
    }
    for (const place of reached) fresh.delete(place);
    if (!isSlow) this.#keep(input);
  }

  #keep(input: Input): void {
    this.#corpus.push(input);
    this.#kept.push(input);
  }

  #try(input: Input): Failure | null {
    this.#runs++;
    try {
      this.#target.run(input);
      return null;
    } catch (error) {
      return { input, error };
    }
  }

  /** Fewer frames, fewer bytes, as long as it fails. */
  #shrink(failure: Failure): Failure {
    let least = failure;
    for (let runs = 0, isSmaller = true; isSmaller && runs < SHRINK_RUNS_MAX; ) {
      isSmaller = false;
      for (const input of smaller(least.input)) {
        if (++runs > SHRINK_RUNS_MAX) break;
        const found = this.#try(input);
        if (!found || inputBytes(found.input) >= inputBytes(least.input)) continue;
        least = found;
        isSmaller = true;
        break;
      }
    }
    return least;
  }
}

function* smaller({ choices, frames }: Input): Generator<Input> {
  for (const [index] of frames.entries()) yield { choices, frames: frames.toSpliced(index, 1) };
  if (choices.length > 1) yield { choices: choices.subarray(0, choices.length >> 1), frames };
  for (const [index, frame] of frames.entries()) {
    if (frame.length > 1) yield { choices, frames: frames.with(index, frame.subarray(0, frame.length >> 1)) };
  }
}
