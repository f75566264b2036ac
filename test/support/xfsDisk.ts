/**
 * A file system that can share blocks between files: a real XFS in a file, mounted in a temporary directory. Leaves nothing mounted: not even when the test is
 * killed, for which a guard is there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runWell } from './nbdServed.ts';
import { until } from './until.ts';

/** Smaller ones mkfs.xfs does not make. */
const BYTES_MIN = 320 * 1024 * 1024;

/** Reads from a pipe that only the test holds. */
const GUARD = `
[ "$(cat)" = dismissed ] && exit
umount --lazy "$1/disk"
rm -rf --one-file-system "$1"
`;

export class XfsDisk {
  /** Where it is mounted. */
  readonly directory: string;
  readonly #work = mkdtempSync(path.join(tmpdir(), 'hf-xfs-'));
  readonly #guard: ChildProcess;
  #isMounted = false;

  private constructor() {
    this.directory = path.join(this.#work, 'disk');
    mkdirSync(this.directory);
    this.#guard = spawn('sh', ['-c', GUARD, 'holdfast-test-guard', this.#work], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    this.#guard.unref();
    this.#guard.stdin?.on('error', () => undefined);
  }

  static async make(sizeBytes = BYTES_MIN): Promise<XfsDisk> {
    const disk = new XfsDisk();
    const image = path.join(disk.#work, 'image');
    try {
      writeFileSync(image, '');
      truncateSync(image, Math.max(BYTES_MIN, sizeBytes));
      await runWell('mkfs.xfs', '-q', '-K', '-m', 'reflink=1', image);
      // The loop device goes with the mount.
      await runWell('mount', '-o', 'loop', image, disk.directory);
      disk.#isMounted = true;
      return disk;
    } catch (error) {
      await disk.remove();
      throw error;
    }
  }

  #unmount(): Promise<boolean> {
    return runWell('umount', this.directory).then(
      () => true,
      (error: Error) => {
        if (error.message.includes('target is busy')) return false;
        throw error;
      },
    );
  }

  /** A directory on it. */
  subdirectory(name: string): string {
    const directory = path.join(this.directory, name);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  /** Nothing may use it any more; the kernel closes the files of a process that was killed a moment after the process is gone. */
  async remove(): Promise<void> {
    if (this.#isMounted) await until('nobody uses the disk', () => this.#unmount());
    this.#isMounted = false;
    this.#guard.stdin?.end('dismissed');
    rmSync(this.#work, { recursive: true, force: true });
  }
}
