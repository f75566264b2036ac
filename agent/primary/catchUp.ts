/**
 * How far one learner's catching up is: for people, and for the learner itself, which keeps it so that the next session goes on there.
 *
 * It must never say that an extent is done which the learner still needs.
 */
import { EXTENT_BYTES } from '../../core/extent.ts';
import type { ResyncProgress } from '../../core/wire/messages.ts';
import { WriteBack } from './writeBack.ts';

/** A learner is told how far it is no more often than `intervalMs`, and only when so many extents more are done: each time it flushes. */
export type ProgressPace = { intervalMs: number; extents: number };
export const PROGRESS_PACE: ProgressPace = { intervalMs: 5_000, extents: 256 };
/** The speed told is that of the last so many seconds. */
const SPEED_SAMPLES_MAX = 10;
const SPEED_SAMPLE_MS = 1_000;

/** What a load found out. `total` counts all extents that catching up from `since` takes, those done in earlier sessions too. */
export type Found = { since: number; version: number; total: number };

export class CatchUp {
  readonly writeBack = new WriteBack();
  readonly #found: Found;
  /** What the learner has durably, or was asked to have: never less than in an earlier session. */
  #below: number;
  #toldAtMs: number;
  #isTelling = false;
  #samples: { atMs: number; left: number }[];

  constructor(found: Found, resumed: ResyncProgress | null, left: number, nowMs: number) {
    this.#found = found;
    this.#below = resumed?.below ?? 0;
    this.#toldAtMs = nowMs;
    this.#samples = [{ atMs: nowMs, left }];
  }

  /** It never was in sync: it has little. */
  get isNew(): boolean {
    return this.#found.since === 0;
  }

  /**
   * What to tell the learner now, or null. `below`: the first extent that it still needs. Where one is needed again that an earlier session had done,
   * nothing is told until it is done: what the learner keeps from then is right as it is.
   */
  toTell(below: number, nowMs: number, pace: ProgressPace): ResyncProgress | null {
    const isDue = nowMs - this.#toldAtMs >= pace.intervalMs && below - this.#below >= pace.extents;
    if (!isDue || this.#isTelling) return null;
    this.#isTelling = true;
    this.#toldAtMs = nowMs;
    this.#below = below;
    return { since: this.#found.since, version: this.#found.version, below };
  }

  told(): void {
    this.#isTelling = false;
  }

  /** Call now and then with the number of extents that are left. */
  sample(left: number, nowMs: number): void {
    const last = this.#samples.at(-1);
    if (last && nowMs - last.atMs < SPEED_SAMPLE_MS) return;
    this.#samples.push({ atMs: nowMs, left });
    if (this.#samples.length > SPEED_SAMPLES_MAX) this.#samples.shift();
  }

  /** In whole extents. What came into doubt on the way may be more than was found at the beginning. */
  report(left: number, nowMs: number): { doneBytes: number; totalBytes: number; bytesPerSecond: number } {
    const total = Math.max(this.#found.total, left);
    const oldest = this.#samples[0] ?? { atMs: nowMs, left };
    const seconds = Math.max(0.001, (nowMs - oldest.atMs) / 1_000);
    const bytesPerSecond = Math.round((Math.max(0, oldest.left - left) * EXTENT_BYTES) / seconds);
    return { doneBytes: (total - left) * EXTENT_BYTES, totalBytes: total * EXTENT_BYTES, bytesPerSecond };
  }
}
