/** Blocks of a fake replica, digested as a real one does. What is not there is zeroes. */
import { digestBlocks, SummaryDigest, summaryKey } from '../../agent/replica/digest.ts';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT, EXTENT_BYTES, extentLength } from '../../core/extent.ts';
import type { FromReplica, ToReplica } from '../../core/wire/messages.ts';
import { instance } from './replicaBench.ts';

/** Of the epoch and instance that the bench's primary has. */
const KEY = summaryKey(5, instance(1));

export class FakeContent {
  readonly blocks = new Map<number, Buffer>();

  set(block: number, value: number): void {
    if (value === 0) this.blocks.delete(block);
    else this.blocks.set(block, Buffer.alloc(BLOCK_BYTES, value));
  }

  /** The first byte of a block. */
  value(block: number): number {
    return this.blocks.get(block)?.[0] ?? 0;
  }

  /** Null: it is not the content's to answer. */
  answerTo(message: ToReplica, sizeBytes: number): FromReplica | null {
    switch (message.type) {
      case 'write':
        this.#write(message.offsetBytes / BLOCK_BYTES, Buffer.concat(message.chunks));
        return null;
      case 'level': {
        const first = message.extent * BLOCKS_PER_EXTENT;
        for (const { block, blocks, data } of message.runs) {
          this.#write(first + block, data ? Buffer.concat(data) : Buffer.alloc(blocks * BLOCK_BYTES));
        }
        return null;
      }
      case 'read': {
        const data = this.#read(message.offsetBytes, message.lengthBytes);
        return { type: 'data', id: message.id, chunks: [data], lengthBytes: data.length };
      }
      case 'digest': {
        const data = this.#read(message.extent * EXTENT_BYTES, extentLength(message.extent, sizeBytes));
        return { type: 'digests', id: message.id, stamp: 1, digests: message.stampOnly ? null : digestBlocks(data) };
      }
      case 'summary': {
        const summary = new SummaryDigest(KEY);
        for (let extent = message.extent; extent < message.extent + message.extents; extent++) {
          summary.add(this.#read(extent * EXTENT_BYTES, extentLength(extent, sizeBytes)));
        }
        return { type: 'summaryDigest', id: message.id, digest: summary.digest() };
      }
      default:
        return null;
    }
  }

  #write(block: number, data: Buffer): void {
    for (let at = 0; at < data.length; at += BLOCK_BYTES) this.blocks.set(block + at / BLOCK_BYTES, data.subarray(at, at + BLOCK_BYTES));
  }

  #read(offsetBytes: number, lengthBytes: number): Buffer {
    const data = Buffer.alloc(lengthBytes);
    for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) this.blocks.get((offsetBytes + at) / BLOCK_BYTES)?.copy(data, at);
    return data;
  }
}
