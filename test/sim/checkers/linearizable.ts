/** Clients' requests over all pieces, as registers. Invariant 3: reads are linearizable. Also the source of what a replica may hold. */
import { isLossUnseen, type VolumeConfig } from '../../../core/config.ts';
import { Violation } from '../violation.ts';
import { BlockRegister } from './blockRegister.ts';

/** Nobody who was attached before a loss is served after it: to him, what he was told is written would be gone. */
export function checkLossSeen(config: VolumeConfig): void {
  const { lossAt, attachment } = config;
  if (isLossUnseen(config)) {
    throw new Violation(
      'linearizable',
      `clients attached since epoch ${attachment?.epoch} are served after the loss told in epoch ${lossAt}`,
    );
  }
}

/** A loss is told before anybody is answered in its epoch: whoever was answered before it would go on over it, and not know. */
export function checkLossTold({ lossAt }: VolumeConfig, epochAnswered: number): void {
  if (lossAt !== undefined && lossAt <= epochAnswered) {
    throw new Violation('linearizable', `a loss is told in epoch ${lossAt}, when clients were answered in epoch ${epochAnswered}`);
  }
}

export type WriteRequest = { id: number; epoch: number; pieces: readonly number[]; value: number; isDurable: boolean };

export class Linearizable {
  readonly pieces: ReadonlyMap<number, BlockRegister>;
  /** Requests under way; those of ended epochs are gone from it. */
  readonly #writes = new Map<number, WriteRequest>();
  readonly #reads = new Map<number, readonly number[]>();

  constructor(pieces: readonly number[]) {
    this.pieces = new Map(pieces.map((piece) => [piece, new BlockRegister(piece)]));
  }

  writeBegins(request: WriteRequest): void {
    this.#writes.set(request.id, request);
    for (const register of this.#of(request.pieces)) register.invoke(request, request.isDurable);
  }

  writeEnds(id: number, succeeded: boolean): void {
    const request = this.#writes.get(id);
    if (!request) return;
    this.#writes.delete(id);
    for (const register of this.#of(request.pieces)) {
      if (succeeded) register.acknowledge(id);
      else register.abandon(id);
    }
  }

  readBegins(id: number, pieces: readonly number[]): void {
    this.#reads.set(id, pieces);
    for (const register of this.#of(pieces)) register.beginRead(id);
  }

  readEnds(id: number, values: ReadonlyMap<number, number> | null): void {
    const pieces = this.#reads.get(id) ?? [];
    this.#reads.delete(id);
    for (const register of this.#of(pieces)) register.endRead(id, values?.get(register.piece) ?? null);
  }

  flushBegins(id: number): void {
    for (const register of this.pieces.values()) register.beginFlush(id);
  }

  flushEnds(id: number, succeeded: boolean): void {
    for (const register of this.pieces.values()) register.endFlush(id, succeeded);
  }

  tellLoss(): void {
    for (const register of this.pieces.values()) register.tellLoss();
  }

  begin(epoch: number, isLossTold: boolean): void {
    for (const [id, request] of this.#writes) if (request.epoch < epoch) this.#writes.delete(id);
    for (const register of this.pieces.values()) register.begin(epoch, isLossTold);
  }

  *#of(pieces: readonly number[]): Iterable<BlockRegister> {
    for (const piece of pieces) {
      const register = this.pieces.get(piece);
      if (register) yield register;
    }
  }
}
