/**
 * `scrubs/<uid>` of one volume that is served here: read for the primary that is about to start, written as that primary gets on. Without a lease, for the next
 * primary goes on from it; a crash loses what came after the last write, and that is compared again.
 *
 * It must never delay a primary for longer than one read, nor bring the key of a deleted volume back: each write compares the config's revisions, and the leader
 * deletes the key together with the config.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeUid } from '../../core/ids.ts';
import { unchangedConfig } from '../../core/inForce.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import { parseScrubState, type ScrubState } from '../../core/scrub.ts';
import type { Entry, Store } from '../../core/store.ts';
import { type CallSlots, retryDelayMs, whenAnswered } from './calls.ts';
import type { KnownConfig } from './knownConfig.ts';

export type ScrubRecordOptions = {
  store: Store;
  keys: Keys;
  slots: CallSlots;
  clock: Clock;
  log: Log;
  /** The config that names this primary; null: none that is known does. */
  latest: () => KnownConfig | null;
};

export class ScrubRecord {
  readonly #uid: VolumeUid;
  readonly #options: ScrubRecordOptions;
  /** Not written yet. */
  #wanted: ScrubState | null = null;
  #isBusy = false;
  #failures = 0;
  #notBeforeMs = 0;

  constructor(uid: VolumeUid, options: ScrubRecordOptions) {
    this.#uid = uid;
    this.#options = options;
  }

  /** Null where nothing stands, nothing that can be read, or nobody answers: then everything is compared from the beginning. */
  read(then: (state: ScrubState | null) => void): void {
    const { store, keys, log } = this.#options;
    whenAnswered(
      store.get(keys.scrub(this.#uid)),
      (entry) => then(entry && this.#parsed(entry)),
      (error) => {
        log.warn('how far the replicas are compared is not known, from the beginning then', { error });
        then(null);
      },
    );
  }

  /** How often is the worker's to decide. */
  want(state: ScrubState): void {
    this.#wanted = state;
    this.tick();
  }

  /** Nothing is to be written, or the answer is awaited. */
  get isResting(): boolean {
    return this.#wanted === null || this.#isBusy;
  }

  tick(): void {
    const { store, keys, slots, clock, latest } = this.#options;
    const state = this.#wanted;
    const known = latest();
    if (state === null || known === null || this.#isBusy || clock.monotonicMs() < this.#notBeforeMs || !slots.tryTake()) return;
    this.#isBusy = true;
    whenAnswered(
      store.commit(unchangedConfig(known), [{ put: keys.scrub(this.#uid), value: JSON.stringify(state) }]),
      ({ committed }) => this.#answered(committed, state),
      () => this.#answered(false, state),
    );
  }

  /** Refused: a later config is there, of which this agent hears soon. Unanswered: the same again does no harm. */
  #answered(isWritten: boolean, state: ScrubState): void {
    this.#isBusy = false;
    this.#options.slots.release();
    if (isWritten && this.#wanted === state) this.#wanted = null;
    this.#failures = isWritten ? 0 : this.#failures + 1;
    this.#notBeforeMs = isWritten ? 0 : this.#options.clock.monotonicMs() + retryDelayMs(this.#failures);
  }

  #parsed({ value }: Entry): ScrubState | null {
    const { value: state, problem } = parseScrubState(value);
    if (state === null)
      this.#options.log.warn('what stands of the comparing of replicas cannot be read, from the beginning then', { problem });
    return state;
  }
}
