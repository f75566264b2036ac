/**
 * A disk for tests that loses power, tears writes, fails on demand and finishes its syncs when it is told to. Everything it does follows from
 * the calls made and the randomness given. A `Disk` like the machine's: the same code runs on both.
 */
import {
  type Disk,
  type DiskDone,
  DiskError,
  type DiskFile,
  type DiskLock,
  type DiskSpace,
  SECTOR_BYTES,
} from '../../agent/replica/store/disk.ts';
import type { Random } from '../../core/random.ts';
import { type DiskCall, type DiskFault, NAMING, PowerLoss } from './simulatedFaults.ts';
import { type Loss, type Sequence, SimulatedDirectory, SimulatedInode, type SimulatedNode } from './simulatedFiles.ts';

/** Completions that one drain may make: more is a loop. */
const COMPLETIONS_MAX = 1_000_000;

export { type DiskCall, type DiskFault, PowerLoss };

export type SimulatedDiskOptions = {
  /** manual: `completeNext` and `drain` finish them; soon: each by itself, in order, in a later turn. */
  completions?: 'manual' | 'soon';
  reflink?: boolean;
  punchesHoles?: boolean;
  exchangesNames?: boolean;
  capacityBytes?: number;
  /** Reads and writes do less than asked now and then; a write that is cut is cut between two sectors. */
  shortIo?: Random;
};

type Completion = { describe: string; complete: () => void };

export class SimulatedDisk implements Disk {
  readonly #options: SimulatedDiskOptions;
  readonly #root: SimulatedDirectory;
  readonly #sequence: Sequence;
  readonly #locks = new Map<string, string>();
  readonly #faults: DiskFault[] = [];
  #completions: Completion[] = [];
  #isOff = false;
  #changes = 0;
  #offBefore = Number.POSITIVE_INFINITY;

  /** `directories` are there, durably. */
  constructor(
    options: SimulatedDiskOptions = {},
    directories: readonly string[] = ['/pool'],
    found?: { root: SimulatedDirectory; sequence: Sequence },
  ) {
    this.#options = options;
    this.#sequence = found?.sequence ?? { last: 0 };
    this.#root = found?.root ?? new SimulatedDirectory(this.#sequence);
    for (const directory of found ? [] : directories) {
      this.makeDirectory(directory);
      this.#directory('/').beginSync()(true);
    }
    this.#changes = 0;
  }

  // Faults and time.

  fail(fault: DiskFault): void {
    this.#faults.push({ ...fault });
  }

  /** No fault from now on. */
  mend(): void {
    this.#faults.length = 0;
  }

  /** The power goes right before the change with this number (0 is the next): nothing happens any more, every call throws. */
  losePowerBefore(change: number): void {
    this.#changes = 0;
    this.#offBefore = change;
  }

  /** Calls and completions since `losePowerBefore` (or ever) that changed anything. */
  get changes(): number {
    return this.#changes;
  }

  get waitingCompletions(): string[] {
    return this.#completions.map(({ describe }) => describe);
  }

  /** Finishes the n-th of the syncs and removals that wait. False: there is none. */
  completeNext(index = 0): boolean {
    const [completion] = this.#completions.splice(index, 1);
    completion?.complete();
    return completion !== undefined;
  }

  /** Finishes all that wait, and what comes of it. */
  drain(): void {
    for (let count = 0; this.completeNext(); count++) if (count > COMPLETIONS_MAX) throw new Error('the disk never comes to rest');
  }

  /** The disk as the next boot finds it; this one answers nothing any more. */
  losePower(loss: Loss, options: SimulatedDiskOptions = this.#options): SimulatedDisk {
    this.#turnOff();
    const sequence = { last: 0 };
    return new SimulatedDisk(options, [], { root: this.#root.afterPowerLoss(loss, sequence), sequence });
  }

  /** The disk as the next process finds it: the cache is all there, nothing more is durable. */
  killProcess(options: SimulatedDiskOptions = this.#options): SimulatedDisk {
    this.#turnOff();
    return new SimulatedDisk(options, [], { root: this.#root, sequence: this.#sequence });
  }

  /** Another disk that holds the same, all of it durable; this one goes on. Costs far less than writing it again. */
  twin(): SimulatedDisk {
    const sequence = { last: 0 };
    return new SimulatedDisk(this.#options, [], { root: this.#root.afterPowerLoss('nothing', sequence), sequence });
  }

  /** The content of a file as it is in the cache, or null. Not a call of the disk. */
  peek(path: string): Buffer | null {
    const inode = this.#find(path);
    if (!(inode instanceof SimulatedInode)) return null;
    const bytes = Buffer.alloc(inode.sizeBytes);
    inode.read(bytes, 0);
    return bytes;
  }

  /** The file itself, for checkers that look at it after every event; null: there is none. Not a call of the disk. */
  inode(path: string): SimulatedInode | null {
    const found = this.#find(path);
    return found instanceof SimulatedInode ? found : null;
  }

  /** Replaces a file's content, durably, behind everybody's back: rot, a cut, a stranger. Null removes it. */
  tamper(path: string, content: Buffer | null): void {
    const { directory, name } = this.#parent(path);
    const inode = new SimulatedInode(this.#sequence);
    if (content) {
      inode.write(content, 0);
      inode.beginSync()(true);
    }
    directory.change((names) => (content ? names.set(name, inode) : names.delete(name)));
    directory.beginSync()(true);
  }

  // The port.

  exists(path: string): boolean {
    this.#checkPower();
    return this.#find(path) !== null;
  }

  openFile(path: string): DiskFile {
    this.#call('openFile', path);
    const inode = this.#find(path);
    if (!(inode instanceof SimulatedInode)) throw new DiskError('ENOENT', 'openFile', path);
    return this.#handle(path, inode);
  }

  createFile(path: string): DiskFile {
    this.#change('createFile', path);
    const { directory, name } = this.#parent(path);
    const inode = new SimulatedInode(this.#sequence);
    directory.change((names) => names.set(name, inode));
    return this.#handle(path, inode);
  }

  makeDirectory(path: string): void {
    if (this.#find(path) instanceof SimulatedDirectory) return;
    this.#change('makeDirectory', path);
    const { directory, name } = this.#parent(path);
    const made = new SimulatedDirectory(this.#sequence);
    directory.change((names) => names.set(name, made));
  }

  list(path: string): string[] {
    this.#call('list', path);
    return [...this.#directory(path).names.keys()].sort();
  }

  rename(from: string, to: string): void {
    this.#change('rename', from);
    const source = this.#parent(from);
    const target = this.#parent(to);
    if (source.directory !== target.directory) throw new DiskError('EXDEV', 'rename', from);
    const node = this.#find(from);
    if (!node) throw new DiskError('ENOENT', 'rename', from);
    if (this.#find(to) instanceof SimulatedDirectory) throw new DiskError('ENOTEMPTY', 'rename', to);
    source.directory.change((names) => {
      names.delete(source.name);
      names.set(target.name, node);
    });
  }

  exchange(one: string, other: string): boolean {
    this.#change('exchange', one);
    if (this.#options.exchangesNames === false) return false;
    const [first, second] = [this.#parent(one), this.#parent(other)];
    const [node, otherNode] = [this.#find(one), this.#find(other)];
    if (!node || !otherNode || first.directory !== second.directory) throw new DiskError('ENOENT', 'exchange', one);
    first.directory.change((names) => {
      names.set(first.name, otherNode);
      names.set(second.name, node);
    });
    return true;
  }

  removeFile(path: string, done: DiskDone): void {
    this.#checkPower();
    this.#later('removeFile', path, done, () => {
      const { directory, name } = this.#parent(path);
      if (directory.names.has(name)) directory.change((names) => names.delete(name));
    });
  }

  removeDirectory(path: string): void {
    this.#change('removeDirectory', path);
    if (this.#directory(path).names.size > 0) throw new DiskError('ENOTEMPTY', 'removeDirectory', path);
    const { directory, name } = this.#parent(path);
    directory.change((names) => names.delete(name));
  }

  syncDirectory(path: string, done: DiskDone): void {
    this.#checkPower();
    this.#sync('syncDirectory', path, this.#directory(path), done);
  }

  space(path: string): DiskSpace {
    this.#call('space', path);
    return { capacityBytes: this.#options.capacityBytes ?? 2 ** 40, usedBytes: this.#root.usedBytes };
  }

  reflink(from: string, to: string, done: DiskDone): void {
    this.#checkPower();
    this.#later('reflink', from, done, () => {
      if (!this.#options.reflink) throw new DiskError('EOPNOTSUPP', 'reflink', from);
      const source = this.#find(from);
      const { directory, name } = this.#parent(to);
      if (!(source instanceof SimulatedInode)) throw new DiskError('ENOENT', 'reflink', from);
      if (directory.names.has(name)) throw new DiskError('EEXIST', 'reflink', to);
      const copy = source.shared();
      directory.change((names) => names.set(name, copy));
    });
  }

  canReflink(directory: string): boolean {
    this.#call('canReflink', directory);
    return this.#options.reflink ?? false;
  }

  tryLock(path: string): DiskLock | { heldBy: string } {
    this.#checkPower();
    const heldBy = this.#locks.get(path);
    if (heldBy !== undefined) return { heldBy };
    this.#locks.set(path, 'process 1');
    return { release: () => this.#locks.delete(path) };
  }

  // What the handles use.

  #handle(path: string, inode: SimulatedInode): DiskFile {
    let isOpen = true;
    const check = () => {
      this.#checkPower();
      if (!isOpen) throw new DiskError('EBADF', 'use after close of', path);
    };
    return {
      path,
      sizeBytes: () => {
        check();
        return inode.sizeBytes;
      },
      readAt: (target, offsetBytes) => {
        check();
        this.#call('read', path);
        return inode.read(target.subarray(0, this.#shorten(target.length)), offsetBytes);
      },
      writeAt: (chunks, offsetBytes) => {
        check();
        this.#change('write', path);
        const bytes = Buffer.concat(chunks);
        const length = this.#shortenWrite(offsetBytes, bytes.length);
        inode.write(bytes.subarray(0, length), offsetBytes);
        return length;
      },
      truncate: (sizeBytes) => {
        check();
        this.#change('truncate', path);
        inode.truncate(sizeBytes);
      },
      punchHole: (offsetBytes, lengthBytes) => {
        check();
        this.#change('punchHole', path);
        if (this.#options.punchesHoles === false) return false;
        inode.zero(offsetBytes, lengthBytes);
        return true;
      },
      syncData: (done) => {
        check();
        this.#sync('syncData', path, inode, done);
      },
      syncAll: (done) => {
        check();
        this.#sync('syncAll', path, inode, done);
      },
      close: () => {
        check();
        isOpen = false;
      },
    };
  }

  #sync(call: DiskCall, path: string, node: SimulatedNode, done: DiskDone): void {
    const settle = node.beginSync();
    this.#later(call, path, done, settle);
  }

  /** Takes effect when it is completed: at any time, as far as the caller can tell. */
  #later(call: DiskCall, path: string, done: DiskDone, act: (succeeded: boolean) => void): void {
    const complete = () => {
      if (this.#isOff) return;
      try {
        this.#change(call, path);
        if (NAMING.includes(call)) act(true);
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        if (!NAMING.includes(call)) act(false);
        return done(error);
      }
      if (!NAMING.includes(call)) act(true);
      done(null);
    };
    this.#completions.push({ describe: `${call} ${path}`, complete });
    if (this.#options.completions === 'soon') setImmediate(() => this.completeNext());
  }

  #call(call: DiskCall, path: string): void {
    this.#checkPower();
    const fault = this.#faults.find(
      (candidate) => candidate.call === call && (candidate.path?.test(path) ?? true) && candidate.times !== 0,
    );
    if (!fault) return;
    if (fault.skip) {
      fault.skip--;
      return;
    }
    if (fault.times !== undefined) fault.times--;
    throw new DiskError(fault.code, call, path);
  }

  #change(call: DiskCall, path: string): void {
    this.#checkPower();
    if (this.#changes >= this.#offBefore) this.#turnOff();
    this.#checkPower();
    this.#changes++;
    this.#call(call, path);
  }

  #shorten(length: number): number {
    const random = this.#options.shortIo;
    return random && random.unit() < 0.3 ? 1 + Math.floor(random.unit() * (length - 1)) : length;
  }

  #shortenWrite(offsetBytes: number, length: number): number {
    const end = offsetBytes + this.#shorten(length);
    const cut = end - (end % SECTOR_BYTES) - offsetBytes;
    return end < offsetBytes + length && cut > 0 ? cut : length;
  }

  #turnOff(): void {
    this.#isOff = true;
    this.#completions = [];
  }

  #checkPower(): void {
    if (this.#isOff) throw new PowerLoss('the power is gone');
  }

  #find(path: string): SimulatedNode | null {
    let node: SimulatedNode = this.#root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      const next: SimulatedNode | undefined = node instanceof SimulatedDirectory ? node.names.get(name) : undefined;
      if (!next) return null;
      node = next;
    }
    return node;
  }

  #directory(path: string): SimulatedDirectory {
    const node = this.#find(path);
    if (!(node instanceof SimulatedDirectory)) throw new DiskError('ENOENT', 'find directory', path);
    return node;
  }

  #parent(path: string): { directory: SimulatedDirectory; name: string } {
    const cut = path.lastIndexOf('/');
    return { directory: this.#directory(path.slice(0, cut)), name: path.slice(cut + 1) };
  }
}
