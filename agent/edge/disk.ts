/**
 * The machine's disk behind the `Disk` port. Reads and writes are synchronous (the page cache answers); syncs and removals go to libuv's
 * threads, of which all disks of the process share a few: so each disk has a maximum of its own, and one that hangs does not take them all.
 *
 * Must never turn an error into a success, nor try anything again.
 */
import fs from 'node:fs';
import { swapSync, trimSync, tryLock } from 'fs-native-extensions';
import { assert } from '../../core/assert.ts';
import { systemClock } from '../../core/clock.ts';
import { type Disk, type DiskDone, DiskError, type DiskFile, type DiskLock, type DiskSpace } from '../replica/store/disk.ts';

/** Calls of one disk that may occupy a thread; the process needs more threads than this times its pools. */
export const THREADS_PER_DISK = 4;
/** Calls that wait for one of those threads. Every file has at most one, every replica a handful. */
export const CALLS_WAITING_MAX = 65_536;

/**
 * In one call: the kernel keeps what is written at once in one piece of its cache, and each later write within that piece looks at all of it. Measured on
 * ext4: a block of 4 KiB costs 17 us in what was written by the MiB, 4 us in what was written by 64 KiB; and the first writes of a file 2.2 and 0.2 ms a MiB.
 */
const WRITE_BYTES_MAX = 64 * 1024;

const PROBE = 'reflink-probe';
const PROBE_BYTES = 4096;
/** How file systems say that they cannot punch a hole, share blocks or swap names. */
const UNSUPPORTED: readonly string[] = ['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EINVAL', 'EXDEV', 'ENOTTY', 'ENODEV'];

const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;

function toDiskError(error: unknown, call: string, path: string): DiskError {
  const code = codeOf(error);
  if (code === null) throw error;
  return new DiskError(code, call, path, { cause: error });
}

function attempt<Value>(call: string, path: string, act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    throw toDiskError(error, call, path);
  }
}

const SYNCS: readonly string[] = ['fdatasync', 'fsync'];

/** Lets so many calls of a disk run at once. One that hangs keeps its thread for ever, and no more of them than the disk may have. */
class Threads {
  /** When each that runs was begun, oldest first. */
  readonly #running = new Set<{ readonly atMs: number; readonly isSync: boolean }>();
  readonly #waiting: (() => void)[] = [];

  /** Of syncs: to take a large file away, or to share its blocks, may take a disk that is well longer than anybody would wait for one that hangs. */
  get oldestMs(): number {
    for (const { atMs, isSync } of this.#running) if (isSync) return systemClock.monotonicMs() - atMs;
    return 0;
  }

  run(name: string, path: string, start: (ended: (error: NodeJS.ErrnoException | null) => void) => void, done: DiskDone): void {
    const begin = (): void => {
      const call = { atMs: systemClock.monotonicMs(), isSync: SYNCS.includes(name) };
      this.#running.add(call);
      start((error) => {
        this.#running.delete(call);
        this.#waiting.shift()?.();
        done(error && toDiskError(error, name, path));
      });
    };
    assert(this.#waiting.length < CALLS_WAITING_MAX, `more than ${CALLS_WAITING_MAX} calls wait for one disk`);
    if (this.#running.size < THREADS_PER_DISK) begin();
    else this.#waiting.push(begin);
  }
}

/** As many of the chunks as fit, the last one cut. */
function firstOf(chunks: readonly Uint8Array[], lengthBytes: number): readonly Uint8Array[] {
  let leftBytes = lengthBytes;
  const found: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (leftBytes <= 0) return found;
    found.push(chunk.length <= leftBytes ? chunk : chunk.subarray(0, leftBytes));
    leftBytes -= chunk.length;
  }
  return leftBytes >= 0 ? chunks : found;
}

class RealFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  readonly #threads: Threads;

  constructor(path: string, descriptor: number, threads: Threads) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#threads = threads;
  }

  sizeBytes(): number {
    return attempt('fstat', this.path, () => fs.fstatSync(this.#descriptor).size);
  }

  readAt(target: Uint8Array, offsetBytes: number): number {
    try {
      return fs.readSync(this.#descriptor, target, 0, target.length, offsetBytes);
    } catch (error) {
      throw toDiskError(error, 'read', this.path);
    }
  }

  /** Less than all of it: up to the next border of WRITE_BYTES_MAX. */
  writeAt(chunks: readonly Uint8Array[], offsetBytes: number): number {
    const [first] = chunks;
    const roomBytes = WRITE_BYTES_MAX - (offsetBytes % WRITE_BYTES_MAX);
    try {
      if (first && (chunks.length === 1 || first.length >= roomBytes)) {
        return fs.writeSync(this.#descriptor, first, 0, Math.min(first.length, roomBytes), offsetBytes);
      }
      return fs.writevSync(this.#descriptor, firstOf(chunks, roomBytes), offsetBytes);
    } catch (error) {
      throw toDiskError(error, 'write', this.path);
    }
  }

  truncate(sizeBytes: number): void {
    attempt('truncate', this.path, () => fs.ftruncateSync(this.#descriptor, sizeBytes));
  }

  punchHole(offsetBytes: number, lengthBytes: number): boolean {
    try {
      trimSync(this.#descriptor, offsetBytes, lengthBytes);
      return true;
    } catch (error) {
      if (UNSUPPORTED.includes(codeOf(error) ?? '')) return false;
      throw toDiskError(error, 'punch hole', this.path);
    }
  }

  syncData(done: DiskDone): void {
    this.#threads.run('fdatasync', this.path, (ended) => fs.fdatasync(this.#descriptor, ended), done);
  }

  syncAll(done: DiskDone): void {
    this.#threads.run('fsync', this.path, (ended) => fs.fsync(this.#descriptor, ended), done);
  }

  close(): void {
    attempt('close', this.path, () => fs.closeSync(this.#descriptor));
  }
}

export class RealDisk implements Disk {
  readonly #threads = new Threads();

  /** How long the disk has not answered its oldest sync; 0: none is asked of it. Calls that hold up this thread are not among them. */
  get oldestCallMs(): number {
    return this.#threads.oldestMs;
  }

  exists(path: string): boolean {
    return attempt('stat', path, () => fs.statSync(path, { throwIfNoEntry: false }) !== undefined);
  }

  openFile(path: string): DiskFile {
    return new RealFile(
      path,
      attempt('open', path, () => fs.openSync(path, 'r+')),
      this.#threads,
    );
  }

  createFile(path: string): DiskFile {
    return new RealFile(
      path,
      attempt('create', path, () => fs.openSync(path, 'w+', 0o600)),
      this.#threads,
    );
  }

  makeDirectory(path: string): void {
    attempt('mkdir', path, () => fs.mkdirSync(path, { recursive: true, mode: 0o700 }));
  }

  list(path: string): string[] {
    return attempt('list', path, () => fs.readdirSync(path).sort());
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => fs.renameSync(from, to));
  }

  exchange(one: string, other: string): boolean {
    try {
      swapSync(one, other);
      return true;
    } catch (error) {
      if (UNSUPPORTED.includes(codeOf(error) ?? '')) return false;
      throw toDiskError(error, 'exchange', one);
    }
  }

  removeFile(path: string, done: DiskDone): void {
    const ignoreAbsent = (ended: (error: NodeJS.ErrnoException | null) => void) => (error: NodeJS.ErrnoException | null) =>
      ended(error?.code === 'ENOENT' ? null : error);
    this.#threads.run('unlink', path, (ended) => fs.unlink(path, ignoreAbsent(ended)), done);
  }

  removeDirectory(path: string): void {
    attempt('rmdir', path, () => fs.rmdirSync(path));
  }

  syncDirectory(path: string, done: DiskDone): void {
    const descriptor = attempt('open', path, () => fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY));
    this.#threads.run(
      'fsync',
      path,
      (ended) => fs.fsync(descriptor, ended),
      (error) => {
        fs.closeSync(descriptor);
        done(error);
      },
    );
  }

  space(path: string): DiskSpace {
    const { bsize, blocks, bfree, bavail } = attempt('statfs', path, () => fs.statfsSync(path));
    // What a file system keeps for root is neither used nor ever to be had: free is what `df` calls available.
    return { capacityBytes: (blocks - bfree + bavail) * bsize, usedBytes: (blocks - bfree) * bsize };
  }

  reflink(from: string, to: string, done: DiskDone): void {
    const { COPYFILE_FICLONE_FORCE, COPYFILE_EXCL } = fs.constants;
    const nameUnsupported = (ended: (error: NodeJS.ErrnoException | null) => void) => (error: NodeJS.ErrnoException | null) => {
      if (error && UNSUPPORTED.includes(error.code ?? '')) error.code = 'EOPNOTSUPP';
      ended(error);
    };
    this.#threads.run(
      'reflink',
      from,
      (ended) => fs.copyFile(from, to, COPYFILE_FICLONE_FORCE | COPYFILE_EXCL, nameUnsupported(ended)),
      done,
    );
  }

  canReflink(directory: string): boolean {
    const source = `${directory}/${PROBE}`;
    const copy = `${directory}/${PROBE}.copy`;
    try {
      fs.writeFileSync(source, Buffer.alloc(PROBE_BYTES, 1));
      fs.copyFileSync(source, copy, fs.constants.COPYFILE_FICLONE_FORCE);
      return true;
    } catch (error) {
      if (UNSUPPORTED.includes(codeOf(error) ?? '')) return false;
      throw toDiskError(error, 'reflink', source);
    } finally {
      fs.rmSync(source, { force: true });
      fs.rmSync(copy, { force: true });
    }
  }

  /** The lock belongs to the open descriptor: the kernel lets it go when the process ends, however it does. */
  tryLock(path: string): DiskLock | { heldBy: string } {
    const descriptor = attempt('open', path, () => fs.openSync(path, 'a+', 0o600));
    const release = () => fs.closeSync(descriptor);
    try {
      if (tryLock(descriptor)) {
        // For whoever finds it taken; says nothing once this process has ended.
        fs.ftruncateSync(descriptor, 0);
        fs.writeSync(descriptor, `process ${process.pid}\n`);
        return { release };
      }
      const heldBy = fs.readFileSync(path, 'utf8').trim() || 'another process';
      release();
      return { heldBy };
    } catch (error) {
      release();
      throw toDiskError(error, 'lock', path);
    }
  }
}
