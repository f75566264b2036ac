/**
 * The work of the demo where no file system can be mounted: blocks of 4 KiB, each with a pattern of its own, written and flushed one by one over the
 * NBD socket by qemu-io. It acknowledges each in its output.
 */
import { createHash } from 'node:crypto';
import { run } from './run.ts';

export const BLOCK_BYTES = 4096;
const PATTERNS = 251;

const patternOf = (number: number): number => (number % PATTERNS) + 1;
export const blockDigest = (pattern: number): string => createHash('sha256').update(Buffer.alloc(BLOCK_BYTES, pattern)).digest('hex');
export const expectedDigest = (number: number): string => blockDigest(patternOf(number));

/** One write and one flush for qemu-io's standard input. */
export const writeCommands = (number: number, baseBytes: number): string =>
  `write -P ${patternOf(number)} ${baseBytes + number * BLOCK_BYTES} ${BLOCK_BYTES}\nflush\n`;

/** The digest of every block in a range of the volume, read back through its socket. */
export async function readBlocks(socket: string, file: string, baseBytes: number, numbers: readonly number[]): Promise<Map<number, string>> {
  const { openSync, readSync, closeSync, rmSync } = await import('node:fs');
  await run('nbdcopy', `nbd+unix:///?socket=${socket}`, file);
  const descriptor = openSync(file, 'r');
  try {
    const digests = new Map<number, string>();
    const block = Buffer.alloc(BLOCK_BYTES);
    for (const number of numbers) {
      readSync(descriptor, block, 0, BLOCK_BYTES, baseBytes + number * BLOCK_BYTES);
      digests.set(number, createHash('sha256').update(block).digest('hex'));
    }
    return digests;
  } finally {
    closeSync(descriptor);
    rmSync(file, { force: true });
  }
}
