/**
 * A pool on a file system of its own that can be filled without hurting anybody else's: a tmpfs, which only root may mount. Must be unmounted before its
 * directory is removed, and never fills anything that it did not mount.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { errorCode } from '../../tools/local/errors.ts';

const CHUNK = Buffer.alloc(1024 * 1024, 0xff);

export class SmallDisk {
  readonly directory: string;
  readonly #bytes: number;
  #isMounted = false;

  constructor(directory: string, bytes: number) {
    this.directory = directory;
    this.#bytes = bytes;
  }

  /** False: this user may not mount, and nothing is ever full. */
  mount(): boolean {
    mkdirSync(this.directory, { recursive: true });
    if (process.getuid?.() !== 0) return false;
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${this.#bytes}`, 'holdfast-chaos', this.directory]);
    this.#isMounted = true;
    return true;
  }

  /** Full until `meanwhile` is over. */
  async fill(meanwhile: () => Promise<unknown>): Promise<void> {
    if (!this.#isMounted) return;
    const filler = path.join(this.directory, 'filler');
    try {
      fillUp(filler, this.#bytes);
      await meanwhile();
    } finally {
      rmSync(filler, { force: true });
    }
  }

  unmount(): void {
    if (this.#isMounted) execFileSync('umount', [this.directory]);
    this.#isMounted = false;
  }
}

function fillUp(file: string, boundBytes: number): void {
  const descriptor = openSync(file, 'w');
  try {
    for (let written = 0; written < boundBytes; written += CHUNK.length) writeSync(descriptor, CHUNK);
  } catch (error) {
    if (errorCode(error) !== 'ENOSPC') throw error;
  } finally {
    closeSync(descriptor);
  }
}
