/**
 * Who waits to hear which config of a volume is in force, because a primary of an epoch that is not known here seals a replica. They share a reading: one that began
 * after they asked is the last word, whatever it found. Must never have etcd read for them oftener than its bound, nor leave anybody without an answer.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { InForce } from '../workers/messages.ts';

/** Whoever makes Seals up must not make readings of them. The first one is at once: a volume's fail-over waits for it. */
const READ_MS = 100;

export type TellInForce = (inForce: InForce) => void;
type Asker = { epoch: number; tell: TellInForce; isBeingRead: boolean };

export class Askers {
  #askers: Asker[] = [];
  #readNotBeforeMs = Number.NEGATIVE_INFINITY;

  get areWaiting(): boolean {
    return this.#askers.length > 0;
  }

  /** For some of them a reading must begin. */
  get areUnread(): boolean {
    return this.#askers.some(({ isBeingRead }) => !isBeingRead);
  }

  /** Told when a config of that epoch or a later one is known, else by `readingEnded`. */
  add(epoch: number, tell: TellInForce): void {
    this.#askers.push({ epoch, tell, isBeingRead: false });
  }

  mayRead(nowMs: number): boolean {
    return this.areUnread && nowMs >= this.#readNotBeforeMs;
  }

  readingBegan(nowMs: number): void {
    if (this.areUnread) this.#readNotBeforeMs = nowMs + READ_MS;
    for (const asker of this.#askers) asker.isBeingRead = true;
  }

  /** An epoch's primary is written with it and never another's: no reading would find more. */
  known(config: VolumeConfig): void {
    this.#tell(({ epoch }) => config.epoch >= epoch, { config, isCurrent: true });
  }

  readingEnded(inForce: InForce): void {
    this.#tell(({ isBeingRead }) => isBeingRead, inForce);
  }

  /** Nothing that is read could be news to anybody. */
  end(inForce: InForce): void {
    this.#tell(() => true, inForce);
  }

  #tell(isMeant: (asker: Asker) => boolean, inForce: InForce): void {
    const meant = this.#askers.filter(isMeant);
    if (meant.length === 0) return;
    this.#askers = this.#askers.filter((asker) => !meant.includes(asker));
    for (const { tell } of meant) tell(inForce);
  }
}
