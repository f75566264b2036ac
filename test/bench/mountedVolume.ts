/**
 * What a system serves, as a pod has it: the holder's device of its socket, and on it the node service's file system, made and mounted by the very code that does it for
 * claims. Alike for all systems. Leaves neither mount nor device, also when this program is told to end.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { MachineMounts } from '../../agent/csi/edge/mounts.ts';
import { FuseBackend } from '../../agent/holder/edge/fuse.ts';
import type { Attached } from '../../agent/holder/ports.ts';
import { VOLUME } from './systems/holdfast.ts';

const FILE_SYSTEM = 'ext4';
const mounted = new Set<MountedVolume>();
process.once('exit', () => {
  for (const volume of mounted) volume.abandon();
});

export class MountedVolume {
  /** Where it is mounted. */
  readonly path: string;
  readonly #directory: string;
  readonly #sizeBytes: number;
  readonly #holder = new FuseBackend();
  readonly #mounts = new MachineMounts();
  #attached: Attached | null = null;

  /** `directory` is its own. */
  constructor(directory: string, sizeBytes: number) {
    this.#directory = path.join(directory, 'device');
    this.#sizeBytes = sizeBytes;
    this.path = path.join(directory, 'mount');
    mkdirSync(this.path, { recursive: true });
  }

  /** Of the device's own processes, which are alike for all systems. */
  get pids(): readonly number[] {
    return this.#attached?.pids ?? [];
  }

  async mount(socket: string): Promise<void> {
    const wish = { name: VOLUME, uid: VOLUME, socket, sizeBytes: this.#sizeBytes, readonly: false };
    mounted.add(this);
    const made = await this.#holder.attach(wish, this.#directory);
    this.#attached = { ...wish, ...made, way: this.#holder.way, failed: false };
    const found = await this.#mounts.probe(made.device);
    if (found === null) await this.#mounts.format(made.device, FILE_SYSTEM, []);
    else await this.#mounts.check(made.device, FILE_SYSTEM);
    await this.#mounts.mount(made.device, this.path, FILE_SYSTEM, []);
  }

  async unmount(): Promise<void> {
    if (this.#mounts.at(this.path) !== null) await this.#mounts.unmount(this.path, false);
    await this.#holder.clear(this.#directory);
    this.#attached = null;
    mounted.delete(this);
  }

  /** As `unmount`, at once and whatever fails: for a program that ends. */
  abandon(): void {
    const words = [
      ['umount', '--lazy', this.path],
      ['losetup', '--detach', this.#attached?.device ?? ''],
      ['umount', '--lazy', path.join(this.#directory, 'disk')],
    ];
    for (const [file = '', ...rest] of words) {
      try {
        execFileSync(file, rest, { stdio: 'ignore' });
      } catch {
        // it was not there
      }
    }
    for (const pid of this.pids) if (isOurs(pid)) process.kill(pid, 'SIGKILL');
  }
}

/** A pid may be somebody else's by now. */
function isOurs(pid: number): boolean {
  try {
    return ['nbdkit', 'nbdfuse'].includes(readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
  } catch {
    return false; // it has ended
  }
}
