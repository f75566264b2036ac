/**
 * What a replica's data may be after the messages that it was given: by byte, the values that any of them wrote there. Wider than what it must be (which of
 * them was taken depends on rules that are not repeated here), never so wide that a byte nobody sent could hide. Shares no code with the replica.
 */
import type { FileReplicaStore } from '../../agent/replica/store/store.ts';
import { assert as must } from '../../core/assert.ts';
import type { ToReplica } from '../../core/wire/messages.ts';

const MIB = 1024 * 1024;
const BLOCK_BYTES = 4096;
/** What is looked at; a replica that was grown further is zeroes there, or the messages said so. */
const LOOKED_AT_BYTES_MAX = 4 * MIB;

const ZEROES = Buffer.alloc(LOOKED_AT_BYTES_MAX);

type Written = { from: number; data: Buffer };

export class Shadow {
  readonly #written: Written[] = [];

  heard(message: ToReplica): void {
    if (message.type === 'write') this.#note(message.offsetBytes, Buffer.concat(message.chunks));
    if (message.type !== 'level') return;
    for (const { block, data } of message.runs) {
      if (data) this.#note(message.extent * MIB + block * BLOCK_BYTES, Buffer.concat(data));
    }
  }

  /** Zeroes may be anywhere: before the first write, or by a zero or a level of some later message. */
  judge(store: FileReplicaStore): void {
    // Ours alone: what is explained becomes zero in it.
    const unexplained = store.read(0, Math.min(store.meta.sizeBytes, LOOKED_AT_BYTES_MAX));
    for (const { from, data } of this.#written) {
      for (let index = 0; index < data.length && from + index < unexplained.length; index++) {
        if (unexplained[from + index] === data[index]) unexplained[from + index] = 0;
      }
    }
    if (unexplained.equals(ZEROES.subarray(0, unexplained.length))) return;
    const at = unexplained.findIndex((byte) => byte !== 0);
    must(false, `byte ${at} holds ${unexplained[at]}, which nobody wrote there`);
  }

  #note(from: number, data: Buffer): void {
    if (from < LOOKED_AT_BYTES_MAX) this.#written.push({ from, data });
  }
}
