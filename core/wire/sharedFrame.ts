/**
 * The frame of what a primary sends to every replica, one right behind the other: made once, its checksum taken once. It is the same for all of them, for
 * nothing in it speaks of a replica. Remembers the last one only, by the message itself, which nobody changes once it was sent (link.ts). Must never give a
 * frame of one epoch, instance or version of the protocol to another's session.
 */
import { type Halves, isSameInstance } from './instance.ts';
import type { Message } from './layout.ts';

export type Frame = readonly Buffer[];

export class SharedFrame {
  #message: Message | null = null;
  #epoch = 0;
  #instance: Halves = { high: 0, low: 0 };
  #protocolVersion = 0;
  #frame: Frame = [];

  of(message: Message, epoch: number, instance: Halves, protocolVersion: number): Frame | null {
    const isSame = message === this.#message && epoch === this.#epoch && protocolVersion === this.#protocolVersion;
    return isSame && isSameInstance(instance, this.#instance) ? this.#frame : null;
  }

  keep(message: Message, epoch: number, instance: Halves, protocolVersion: number, frame: Frame): void {
    this.#message = message;
    this.#epoch = epoch;
    this.#instance = instance;
    this.#protocolVersion = protocolVersion;
    this.#frame = frame;
  }
}
