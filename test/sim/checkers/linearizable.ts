/** Clients' requests over all blocks, as registers: invariants 2 and 3. Also the source of what a replica may hold. */
import { BlockRegister } from './blockRegister.ts';

export type WriteRequest = { id: number; epoch: number; blocks: readonly number[]; value: number; isDurable: boolean };

export class Linearizable {
  readonly blocks: ReadonlyMap<number, BlockRegister>;
  /** Requests under way; those of ended epochs are gone from it. */
  readonly #writes = new Map<number, WriteRequest>();
  readonly #reads = new Map<number, readonly number[]>();

  constructor(blocks: readonly number[]) {
    this.blocks = new Map(blocks.map((block) => [block, new BlockRegister(block)]));
  }

  writeBegins(request: WriteRequest): void {
    this.#writes.set(request.id, request);
    for (const register of this.#of(request.blocks)) register.invoke(request, request.isDurable);
  }

  writeEnds(id: number, succeeded: boolean): void {
    const request = this.#writes.get(id);
    if (!request) return;
    this.#writes.delete(id);
    for (const register of this.#of(request.blocks)) {
      if (succeeded) register.acknowledge(id);
      else register.abandon(id);
    }
  }

  readBegins(id: number, blocks: readonly number[]): void {
    this.#reads.set(id, blocks);
    for (const register of this.#of(blocks)) register.beginRead(id);
  }

  readEnds(id: number, values: ReadonlyMap<number, number> | null): void {
    const blocks = this.#reads.get(id) ?? [];
    this.#reads.delete(id);
    for (const register of this.#of(blocks)) register.endRead(id, values?.get(register.block) ?? null);
  }

  flushBegins(id: number): void {
    for (const register of this.blocks.values()) register.beginFlush(id);
  }

  flushEnds(id: number, succeeded: boolean): void {
    for (const register of this.blocks.values()) register.endFlush(id, succeeded);
  }

  tellLoss(): void {
    for (const register of this.blocks.values()) register.tellLoss();
  }

  begin(epoch: number, isLossTold: boolean): void {
    for (const [id, request] of this.#writes) if (request.epoch < epoch) this.#writes.delete(id);
    for (const register of this.blocks.values()) register.begin(epoch, isLossTold);
  }

  *#of(blocks: readonly number[]): Iterable<BlockRegister> {
    for (const block of blocks) {
      const register = this.blocks.get(block);
      if (register) yield register;
    }
  }
}
