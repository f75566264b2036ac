/**
 * One replica's files as its session sees them: `ReplicaStore` over `data`, `intents`, `stamps` and `meta`.
 *
 *   open --close, discard--> closing --what runs has ended--> closed
 *   a sync that fails: everything is refused from then on (`syncGuard.ts`), but it still closes
 *
 * Must never take an extent out of the log whose data and stamp are not durable, whatever the caller thinks of it.
 */
import { assert } from '../../../core/assert.ts';
import { EXTENT_BYTES, type ExtentSet, extentCount, extentLength, firstExtent, lastExtent } from '../../../core/extent.ts';
import { type Done, IoError, type ReplicaMeta, type ReplicaStore, type SnapshotRequest } from '../../ports.ts';
import type { DataFile } from './dataFile.ts';
import { toIoError } from './errors.ts';
import { inOrder, now, type Step, type StepDone, together } from './inOrder.ts';
import type { IntentLog } from './intentLog.ts';
import type { MetaFile } from './meta.ts';
import type { SnapshotKeeper } from './snapshot.ts';
import type { StampFile } from './stampFile.ts';
import type { SyncGuard } from './syncGuard.ts';

export type StoreParts = { guard: SyncGuard; meta: MetaFile; data: DataFile; log: IntentLog; stamps: StampFile; keeper: SnapshotKeeper };

export class FileReplicaStore implements ReplicaStore {
  readonly #guard: SyncGuard;
  readonly #meta: MetaFile;
  readonly #data: DataFile;
  readonly #log: IntentLog;
  readonly #stamps: StampFile;
  readonly #keeper: SnapshotKeeper;
  #state: 'open' | 'closing' | 'closed' = 'open';
  /** Asynchronous calls that have not been called back yet, and who waits for there to be none. */
  #running = 0;
  #whenIdle: (() => void) | null = null;
  #closers: Done[] = [];
  /** While a clean runs: what was written or stamped since it began. Its syncs may not cover that. */
  #touchedWhileCleaning: Set<number> | null = null;
  /** How large the files are made for, and who waits to make them larger: each extension begins where the one before has ended. */
  #extendedBytes: number;
  #extensions: (() => void)[] = [];

  constructor(parts: StoreParts) {
    this.#guard = parts.guard;
    this.#meta = parts.meta;
    this.#data = parts.data;
    this.#log = parts.log;
    this.#stamps = parts.stamps;
    this.#keeper = parts.keeper;
    this.#extendedBytes = parts.meta.current.sizeBytes;
  }

  /**
   * Before anybody is answered: what was found in the files is durable, and so is that this boot has it open. A crash before the end leaves
   * the meta as it was; after it, the replica is suspect at the next boot unless it was closed.
   */
  begin(bootId: string, done: Done): void {
    const steps: Step[] = [
      // An earlier process may have been killed before its sync: what its cache holds must not be relied on and then be lost with the power.
      (next) => this.#log.makeDurable(next),
      (next) => this.#stamps.sync(next),
      now(() => {
        // Flags are made durable with the stamps: those of extents in the log may be out of date.
        for (const extent of this.#log.extents) this.#stamps.setMayHaveData(extent, true);
      }),
      (next) => this.#noteBoot(bootId, next),
    ];
    inOrder(steps, this.#begun(done, 'opening the replica'));
  }

  get meta(): ReplicaMeta {
    return this.#meta.current;
  }

  saveMeta(meta: ReplicaMeta, done: Done): void {
    if (this.#isRefused(done)) return;
    assert(meta.sizeBytes <= this.#extendedBytes, `a meta of ${meta.sizeBytes} bytes over files of ${this.#extendedBytes}`);
    const { sizeBytes } = this.meta;
    const saved = this.#begun(done, 'saving the meta');
    this.#meta.save(meta, (error) => {
      if (!error && meta.sizeBytes > sizeBytes) this.#grow(meta.sizeBytes);
      saved(error);
    });
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    this.#throwIfRefused();
    this.#data.checkRange('read', offsetBytes, lengthBytes);
    return this.#data.read(offsetBytes, lengthBytes);
  }

  write(offsetBytes: number, chunks: readonly Buffer[], lengthBytes: number): void {
    this.#throwIfRefused();
    this.#data.checkRange('write', offsetBytes, lengthBytes);
    const last = lastExtent(offsetBytes, lengthBytes);
    // Before the data: a write that fails half way has written, too.
    for (let extent = firstExtent(offsetBytes); extent <= last; extent++) {
      this.#touch(extent);
      this.#stamps.setMayHaveData(extent, true);
    }
    this.#data.write(offsetBytes, chunks, lengthBytes);
  }

  zero(offsetBytes: number, lengthBytes: number, free: boolean): void {
    this.#throwIfRefused();
    this.#data.checkRange('zero', offsetBytes, lengthBytes);
    const first = firstExtent(offsetBytes);
    const last = lastExtent(offsetBytes, lengthBytes);
    for (let extent = first; extent <= last; extent++) this.#touch(extent);
    this.#data.zero(offsetBytes, lengthBytes, free);
    const end = offsetBytes + lengthBytes;
    for (let extent = first; extent <= last; extent++) {
      const start = extent * EXTENT_BYTES;
      const isWhole = start >= offsetBytes && start + extentLength(extent, this.meta.sizeBytes) <= end;
      if (isWhole) this.#stamps.setMayHaveData(extent, false);
    }
  }

  /** Calls back at once when nothing was written since the last. */
  flush(done: Done): void {
    if (this.#isRefused(done)) return;
    this.#data.flush(this.#begun(done, 'flush'));
  }

  get intents(): ExtentSet {
    return this.#log.extents;
  }

  addIntents(extents: readonly number[], done: Done): void {
    if (this.#isRefused(done)) return;
    this.#log.add(extents, this.#begun(done, 'intent log'));
  }

  clean(extents: readonly number[], mayLeave: (extent: number) => boolean, done: Done): void {
    if (this.#isRefused(done)) return;
    assert(!this.#touchedWhileCleaning, 'one clean at a time');
    const leaving = extents.filter((extent) => this.intents.has(extent) && mayLeave(extent));
    if (leaving.length === 0) return done(null);
    const touched = new Set<number>();
    this.#touchedWhileCleaning = touched;
    const steps: Step[] = [
      now(() => this.#stamps.write()),
      // A crash after it: data and stamps are durable, the log still names all of them. That is one comparison too many.
      (next) => this.#makeDurable(next),
      // A crash after it: each of them may be in the log again or not. Nothing about those that are not is in doubt.
      now(() => this.#log.remove(leaving.filter((extent) => !touched.has(extent) && mayLeave(extent)))),
    ];
    const ended = this.#begun(done, 'cleaning the intent log');
    inOrder(steps, (error) => {
      this.#touchedWhileCleaning = null;
      ended(error);
    });
  }

  stamp(extent: number): number {
    return this.#stamps.version(extent);
  }

  setStamp(extent: number, version: number): void {
    this.#throwIfRefused();
    this.#touch(extent);
    this.#stamps.setVersion(extent, version);
  }

  changedSince(version: number): ExtentSet {
    const changed = this.#stamps.since(version);
    changed.addAll(this.intents);
    return changed;
  }

  mayHaveData(extent: number): boolean {
    return this.#stamps.mayHaveData(extent);
  }

  extend(sizeBytes: number, done: Done): void {
    if (this.#isRefused(done)) return;
    const extended = this.#begun(done, 'growing the replica');
    this.#extensions.push(() => {
      const end: StepDone = (error) => {
        if (!error) this.#extendedBytes = Math.max(this.#extendedBytes, sizeBytes);
        this.#extensions.shift();
        // Before anybody hears of this one's end, and asks for more.
        this.#extensions[0]?.();
        extended(error);
      };
      const extents = extentCount(sizeBytes);
      // A crash anywhere in it: files that are longer than the meta says, the new part in any state. The next extension makes it anew.
      const steps: Step[] = [
        (next) => this.#data.extend(sizeBytes, next),
        (next) => this.#log.extend(extents, next),
        (next) => this.#stamps.extend(extents, next),
      ];
      if (sizeBytes <= this.#extendedBytes) end(null);
      else inOrder(steps, end);
    });
    if (this.#extensions.length === 1) this.#extensions[0]?.();
  }

  snapshot(request: SnapshotRequest, done: Done): void {
    if (this.#isRefused(done)) return;
    const source = { meta: this.meta, dataPath: this.#data.path, stamps: this.#stamps.body() };
    this.#keeper.keep(source, request, this.#begun(done, 'keeping a snapshot'));
  }

  /** What runs is waited for. The log keeps what was not cleaned before. Called again, it calls back when the first one does. */
  close(done: Done): void {
    const steps: Step[] = [
      (next) => next(this.#guard.failure),
      now(() => this.#stamps.write()),
      (next) => this.#makeDurable(next),
      (next) => this.#log.makeDurable(next),
      // A crash until here: the replica was not closed, and is suspect if it was the power. After it: it was, and all of it is durable.
      (next) => this.#meta.save({ ...this.meta, openBootId: null }, next),
    ];
    this.#stop(steps, done);
  }

  /** Closes the files of a replica that is not wanted any more: nothing is made durable. */
  discard(done: () => void): void {
    this.#stop([], () => done());
  }

  #grow(sizeBytes: number): void {
    const extents = extentCount(sizeBytes);
    this.#data.grow(sizeBytes);
    this.#log.grow(extents);
    this.#stamps.grow(extents);
  }

  #noteBoot(bootId: string, next: StepDone): void {
    const { openBootId, suspect } = this.meta;
    if (openBootId === bootId) return next(null);
    this.#meta.save({ ...this.meta, suspect: suspect || openBootId !== null, openBootId: bootId }, next);
  }

  #makeDurable(next: StepDone): void {
    const stamps: Step = (done) => (this.#stamps.needsSync ? this.#stamps.sync(done) : done(null));
    together((done) => this.#data.flush(done), stamps, next);
  }

  /** Extents are changed only under the log: else a crash could lose that they were. */
  #touch(extent: number): void {
    // The sentence is put together only when it is needed: this is each write's way.
    if (!this.intents.has(extent)) assert(false, `extent ${extent} is changed without being in the intent log`);
    this.#touchedWhileCleaning?.add(extent);
  }

  #throwIfRefused(): void {
    if (this.#guard.failure) throw this.#guard.failure;
    if (this.#state !== 'open') throw new IoError('shutdown', 'the replica is closed');
  }

  /** True: `done` has been or will be called with the reason. */
  #isRefused(done: Done): boolean {
    if (this.#guard.failure) this.#guard.refuse(this.#begun(done, ''));
    else if (this.#state !== 'open') done(new IoError('shutdown', 'the replica is closed'));
    else return false;
    return true;
  }

  /** Counts a call until it has been called back. */
  #begun(done: Done, attempted: string): StepDone {
    this.#running++;
    return (error) => {
      this.#running--;
      done(error && toIoError(error, attempted));
      this.#checkIdle();
    };
  }

  #stop(lastSteps: readonly Step[], done: Done): void {
    if (this.#state === 'closed') return done(null);
    this.#closers.push(done);
    if (this.#state === 'closing') return;
    this.#state = 'closing';
    this.#whenIdle = () =>
      inOrder(lastSteps, (error) => {
        this.#closeFiles();
        const closers = this.#closers;
        this.#closers = [];
        for (const closer of closers) closer(error && toIoError(error, 'closing the replica'));
      });
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (this.#running > 0 || !this.#whenIdle) return;
    const whenIdle = this.#whenIdle;
    this.#whenIdle = null;
    whenIdle();
  }

  #closeFiles(): void {
    this.#data.close();
    this.#log.close();
    this.#stamps.close();
    this.#state = 'closed';
  }
}
