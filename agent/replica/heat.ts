/**
 * Which extents of a replica's intent log are written again and again, and so stay in it: to log an extent anew costs a flush of the log before the write, and
 * to let it go a flush of all data. Whatever is in the log is compared after a crash; that is what staying costs, and why only so many may.
 *
 * It knows what was touched in one session. Must never say of an extent that it may leave the log: only that nothing is lost by its leaving now.
 */

/** An extent stays in the log this long after its last write. */
export const COOL_MS = 1_000;
/**
 * And so long while few extents are in the log: those that a client comes back to, also after a pause. File systems write their journals every few seconds;
 * were those extents to leave in between, each such write would wait for the log of every replica.
 */
export const LINGER_MS = 10 * COOL_MS;
/** Few are these: a crash has 1 GiB more to be compared, a second or two of a disk. */
export const LINGERING_EXTENTS_MAX = 1_024;

/** How long what is hot stays. */
export type Patience = { readonly coolMs: number; readonly lingerMs: number };
const USUAL: Patience = { coolMs: COOL_MS, lingerMs: LINGER_MS };

type Touch = { sequence: number; atMs: number };

export class Heat {
  readonly #patience: Patience;
  /** By which operation last, and when. */
  readonly #touches = new Map<number, Touch>();

  constructor(patience: Patience = USUAL) {
    this.#patience = patience;
  }

  touch(extents: readonly number[], sequence: number, nowMs: number): void {
    for (const extent of extents) {
      const touch = this.#touches.get(extent);
      if (touch) {
        touch.sequence = sequence;
        touch.atMs = nowMs;
      } else this.#touches.set(extent, { sequence, atMs: nowMs });
    }
  }

  /** Of the operation that touched it last; 0: none of this session. */
  sequenceOf(extent: number): number {
    return this.#touches.get(extent)?.sequence ?? 0;
  }

  /** `logged`: how many extents are in the log. */
  isCool(extent: number, logged: number, nowMs: number): boolean {
    const touch = this.#touches.get(extent);
    if (!touch) return true;
    const { coolMs, lingerMs } = this.#patience;
    return nowMs - touch.atMs >= (logged <= LINGERING_EXTENTS_MAX ? lingerMs : coolMs);
  }

  /** It has left the log. */
  forget(extent: number): void {
    this.#touches.delete(extent);
  }
}
