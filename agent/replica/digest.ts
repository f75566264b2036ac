/** Digests of an extent's blocks, by which levelling and resync find what differs. Pure. */
import { hash } from 'node:crypto';
import { BLOCK_BYTES } from '../../core/extent.ts';
import { DIGEST_BYTES } from '../../core/wire/messages.ts';

const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

/** DIGEST_BYTES for each block of `data`, the last of which may be short; all zero for a block of zeroes. */
export function digestBlocks(data: Buffer): Buffer {
  const blocks = Math.ceil(data.length / BLOCK_BYTES);
  const digests = Buffer.alloc(blocks * DIGEST_BYTES);
  for (let block = 0; block < blocks; block++) {
    const piece = data.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    if (piece.equals(piece.length === BLOCK_BYTES ? ZERO_BLOCK : ZERO_BLOCK.subarray(0, piece.length))) continue;
    hash('sha256', piece, 'buffer').copy(digests, block * DIGEST_BYTES, 0, DIGEST_BYTES);
  }
  return digests;
}
