/**
 * A disk that falls ill when a test says so: a real ext4 on a loop device. One that only fills up lies on a plain file; one that hangs or fails lies on a FUSE
 * file (nbdfuse) over nbdkit's error filter, and is stopped by SIGSTOP. Leaves nothing mounted: not even when the test is killed, for which a guard is there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runWell } from './nbdServed.ts';
import { until } from './until.ts';

const MIB = 1024 * 1024;

/** Reads from a pipe that only the test holds. What it finds it takes down from the top: file system, loop device, FUSE file, processes. */
const GUARD = `
[ "$(cat)" = dismissed ] && exit
for file in "$1"/*.pid; do [ -e "$file" ] && kill -CONT "$(cat "$file")"; done
rm -f "$1/fails"
umount --lazy "$1/disk"
losetup --list --noheadings --output NAME,BACK-FILE | awk -v under="$1/" 'index($2, under) == 1 { print $1 }' | xargs -r -n 1 losetup --detach
umount --lazy "$1/fuse"
for file in "$1"/*.pid; do [ -e "$file" ] && kill -KILL "$(cat "$file")"; done
rm -rf --one-file-system "$1"
`;

export class SickDisk {
  /** Where its file system is mounted. */
  readonly directory: string;
  readonly #work = mkdtempSync(path.join(tmpdir(), 'hf-sick-'));
  readonly #guard: ChildProcess;
  readonly #processes: ChildProcess[] = [];
  #nbdfuse: ChildProcess | null = null;
  #loop: string | null = null;
  #isMounted = false;

  private constructor() {
    this.directory = path.join(this.#work, 'disk');
    mkdirSync(this.directory);
    this.#guard = spawn('sh', ['-c', GUARD, 'holdfast-test-guard', this.#work], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    this.#guard.unref();
    this.#guard.stdin?.on('error', () => undefined);
  }

  /** One that can only become full. */
  static small(sizeBytes: number): Promise<SickDisk> {
    return SickDisk.#open(sizeBytes, async (disk) => disk.#image);
  }

  /** One that `hang` and `fail` can reach. */
  static frail(sizeBytes = 256 * MIB): Promise<SickDisk> {
    return SickDisk.#open(sizeBytes, (disk) => disk.#serve());
  }

  static async #open(sizeBytes: number, fileOf: (disk: SickDisk) => Promise<string>): Promise<SickDisk> {
    const disk = new SickDisk();
    try {
      writeFileSync(disk.#image, '');
      truncateSync(disk.#image, sizeBytes);
      disk.#loop = (await runWell('losetup', '--find', '--show', await fileOf(disk))).trim();
      // Nothing is written later by the kernel's own doing, and no space is kept for root.
      await runWell('mkfs.ext4', '-q', '-m', '0', '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0', disk.#loop);
      await runWell('mount', disk.#loop, disk.directory);
      disk.#isMounted = true;
      return disk;
    } catch (error) {
      await disk.remove();
      throw error;
    }
  }

  /** From now on nothing that needs the disk comes back. */
  hang(): void {
    this.#nbdfuse?.kill('SIGSTOP');
  }

  goOn(): void {
    this.#nbdfuse?.kill('SIGCONT');
  }

  /** From now on every read and write of the disk ends with EIO. */
  fail(): void {
    writeFileSync(this.#fails, '');
  }

  async remove(): Promise<void> {
    this.goOn();
    rmSync(this.#fails, { force: true });
    // Whoever worked on it has ended; what the kernel still writes may take a moment.
    if (this.#isMounted) await tryUntil(() => tryRun('umount', this.directory) || tryRun('umount', '--lazy', this.directory));
    if (this.#loop !== null) tryRun('losetup', '--detach', this.#loop);
    if (this.#nbdfuse !== null)
      await tryUntil(() => tryRun('fusermount3', '-u', this.#fuse) || tryRun('fusermount3', '-u', '-z', this.#fuse));
    for (const child of this.#processes) child.kill('SIGKILL');
    this.#guard.stdin?.end('dismissed');
    rmSync(this.#work, { recursive: true, force: true });
  }

  get #image(): string {
    return path.join(this.#work, 'image');
  }

  get #fails(): string {
    return path.join(this.#work, 'fails');
  }

  get #fuse(): string {
    return path.join(this.#work, 'fuse');
  }

  async #serve(): Promise<string> {
    const socket = path.join(this.#work, 'nbd.sock');
    const failing = ['error=EIO', 'error-rate=100%', `error-file=${this.#fails}`];
    this.#start('nbdkit', '--foreground', '--unix', socket, '--filter=error', 'file', this.#image, ...failing);
    await until('nbdkit listens', () => existsSync(socket));
    mkdirSync(this.#fuse);
    this.#nbdfuse = this.#start('nbdfuse', this.#fuse, `nbd+unix:///?socket=${socket}`);
    const file = path.join(this.#fuse, 'nbd');
    await until('the file of nbdfuse', () => existsSync(file));
    return file;
  }

  #start(program: string, ...args: string[]): ChildProcess {
    const child = spawn(program, args, { stdio: 'ignore' });
    child.on('error', () => undefined); // what waits for it says that it did not come
    writeFileSync(path.join(this.#work, `${program}.pid`), String(child.pid));
    this.#processes.push(child);
    return child;
  }
}

function tryRun(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

const tryUntil = (attempt: () => boolean): Promise<unknown> => until('it is taken down', attempt, 10_000).catch(() => undefined);
