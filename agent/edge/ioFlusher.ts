/**
 * Tells the kernel that this process writes what others' writes wait for. A block device of a volume may be on this very machine (the kernel's nbd): when memory runs short the kernel
 * writes that device out, which waits for this agent; and if the agent then asks for memory, the kernel may make it wait for the same device. With this said, memory for it
 * is never won by waiting for a device, and it is not held up for dirty pages of others.
 *
 * Called by `main.ts` before anything else is loaded: it counts for the thread that says it and for those that are started afterwards, workers and libuv's alike (programs
 * that the agent runs have it, too). Node's own few helpers were there before: what they wait for is not covered. Must never hold up or fail a start.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { messageOf } from '../../core/errors.ts';

const PR_SET_IO_FLUSHER = 57;
const CAP_SYS_RESOURCE = 24n;

type Koffi = typeof import('koffi')['default'];

/** By the kernel's own words of this process. */
export const mayFlush = (status: string): boolean => {
  const [, capabilities] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return capabilities !== undefined && ((BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
};

/** Null: it is one now; else why not. */
export function becomeIoFlusher(): string | null {
  try {
    if (!mayFlush(readFileSync('/proc/self/status', 'utf8'))) return 'it needs CAP_SYS_RESOURCE';
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const prctl = koffi
      .load(null)
      .func('int prctl(int option, unsigned long first, unsigned long second, unsigned long third, unsigned long fourth)');
    return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) === 0 ? null : `the kernel refuses it (errno ${koffi.errno()}; Linux 5.6 has it)`;
  } catch (error) {
    return messageOf(error);
  }
}
