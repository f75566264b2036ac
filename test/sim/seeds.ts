/** One seed for a run, and from it a sub-seed for each part of it: what one part draws never shifts what another draws. */
import { SeededRandom } from '../support/seededRandom.ts';

export type Purpose =
  | 'options'
  | 'network'
  | 'disk'
  | 'clock'
  | 'register'
  | 'leader'
  | 'workload'
  | 'faults'
  | 'ids'
  | 'tasks'
  | 'snapshots'
  | 'stories'
  | 'rot'
  | 'cache';

/** A sub-seed is the seed mixed with its purpose's name (FNV-1a). */
export function randomFor(seed: number, purpose: Purpose): SeededRandom {
  let mixed = (0x811c9dc5 ^ seed) >>> 0;
  for (const letter of purpose) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  return new SeededRandom(Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d));
}

/** Uniform between two values. */
export const between = (random: SeededRandom, low: number, high: number): number => low + random.unit() * (high - low);

/** Mostly near `usual`, now and then many times that: what delays are like. */
export function delayMs(random: SeededRandom, usual: number, worst: number): number {
  return random.chance(0.02) ? between(random, usual, worst) : random.unit() * usual * 2;
}

export function pick<Item>(random: SeededRandom, items: readonly Item[]): Item | undefined {
  return items[random.below(items.length)];
}
