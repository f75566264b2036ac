/**
 * A file system on a volume's NBD socket: nbdfuse makes a file of the socket, a loop device makes a disk of the file, ext4 is mounted from that.
 * `unmount` works in every state, also when whoever served the socket is dead, and takes away only what was made here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { waitFor } from '../local/wait.ts';
import { isInstalled, isUsable, run, tryRun } from './run.ts';

const APPEARS_BOUND_MS = 10_000;
const ENDS_BOUND_MS = 10_000;

/** Why no file system can be mounted here, or null. */
export function whyNotMountable(): string | null {
  if (process.getuid?.() !== 0) return 'not root';
  if (!isUsable('/dev/fuse')) return 'no FUSE';
  if (!isUsable('/dev/loop-control')) return 'no loop devices';
  const missing = ['nbdfuse', 'fusermount3', 'losetup', 'mkfs.ext4'].filter((program) => !isInstalled(program));
  return missing.length > 0 ? `not installed: ${missing.join(', ')}` : null;
}

export class MountedVolume {
  readonly directory: string;
  readonly #fuseDirectory: string;
  readonly #nbdfuse: ChildProcess;
  #loop: string | null = null;
  #isMounted = false;

  private constructor(workDirectory: string, name: string, socket: string) {
    this.directory = path.join(workDirectory, `${name}-mount`);
    this.#fuseDirectory = path.join(workDirectory, `${name}-fuse`);
    mkdirSync(this.directory, { recursive: true });
    mkdirSync(this.#fuseDirectory, { recursive: true });
    this.#nbdfuse = spawn('nbdfuse', [this.#fuseDirectory, `nbd+unix:///?socket=${socket}`], { stdio: 'ignore' });
  }

  static async open(workDirectory: string, name: string, socket: string, options: { format: boolean }): Promise<MountedVolume> {
    const volume = new MountedVolume(workDirectory, name, socket);
    try {
      await volume.#mount(options.format);
      return volume;
    } catch (error) {
      await volume.unmount();
      throw error;
    }
  }

  async #mount(format: boolean): Promise<void> {
    const file = path.join(this.#fuseDirectory, 'nbd');
    await waitFor('the file of nbdfuse', APPEARS_BOUND_MS, async () => {
      if (this.#nbdfuse.exitCode !== null) throw new Error(`nbdfuse ended with ${this.#nbdfuse.exitCode}`);
      return existsSync(file) ? { value: true } : { reason: 'it is not there yet' };
    });
    this.#loop = await run('losetup', '--find', '--show', file);
    if (format) await run('mkfs.ext4', '-q', '-E', 'nodiscard', this.#loop);
    await run('mount', this.#loop, this.directory);
    this.#isMounted = true;
  }

  /** Of a dead volume lazily: the kernel then lets go of it when nobody has a file open any more. */
  async unmount(): Promise<void> {
    if (this.#isMounted && !tryRun('umount', this.directory)) tryRun('umount', '--lazy', this.directory);
    this.#isMounted = false;
    if (this.#loop) tryRun('losetup', '--detach', this.#loop);
    this.#loop = null;
    if (!tryRun('fusermount3', '-u', this.#fuseDirectory)) tryRun('fusermount3', '-u', '-z', this.#fuseDirectory);
    this.#nbdfuse.kill('SIGTERM');
    await waitFor('the end of nbdfuse', ENDS_BOUND_MS, async () => {
      const hasEnded = this.#nbdfuse.exitCode !== null || this.#nbdfuse.signalCode !== null;
      return hasEnded ? { value: true } : { reason: 'it still runs' };
    });
  }
}
