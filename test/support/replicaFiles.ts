/** A replica on a simulated disk, for tests: made, opened and driven with syncs that end when the test says so. */
import { expect } from 'chai';
import { type Done, IoError, type ReplicaMeta, type ReplicaStore } from '../../agent/ports.ts';
import { createReplica, replicaDirectory } from '../../agent/replica/store/create.ts';
import type { StoreError } from '../../agent/replica/store/inOrder.ts';
import { openReplica } from '../../agent/replica/store/open.ts';
import type { SnapshotKeeper } from '../../agent/replica/store/snapshot.ts';
import type { FileReplicaStore } from '../../agent/replica/store/store.ts';
import { replicaId, volumeUid } from '../../core/ids.ts';
import { SimulatedDisk } from './simulatedDisk.ts';

export const MIB = 1024 * 1024;
export const REPLICA = replicaId('00112233aabbccdd');
export const VOLUME = volumeUid('11111111-2222-3333-4444-555555555555');
export const POOL = '/pool';
export const DIRECTORY = replicaDirectory(POOL, REPLICA);
export const BOOT = 'boot-1';

export const newReplica = (sizeBytes: number) => ({ replica: REPLICA, volume: VOLUME, volumeName: 'pgdata', sizeBytes });

/** What a callback was called with, once: `undefined` until then. */
export class Outcome<Result extends unknown[]> {
  calls: Result[] = [];
  readonly done = (...result: Result): void => {
    this.calls.push(result);
  };

  get isCalled(): boolean {
    return this.calls.length > 0;
  }

  get result(): Result {
    expect(this.calls, 'calls of the callback').to.have.length(1);
    return this.calls[0] as Result;
  }
}

export const outcome = (): Outcome<[IoError | null]> => new Outcome();

/** Runs it, lets the disk finish everything, and fails with its error if it has one. */
export function finish(disk: SimulatedDisk, act: (done: Done) => void): void {
  const error = errorOf(disk, act);
  if (error) throw error;
}

export function errorOf(disk: SimulatedDisk, act: (done: Done) => void): IoError | null {
  const ended = outcome();
  act(ended.done);
  disk.drain();
  return ended.result[0];
}

export function create(disk: SimulatedDisk, sizeBytes: number): void {
  const ended = new Outcome<[StoreError | null]>();
  createReplica(disk, POOL, newReplica(sizeBytes), null, ended.done);
  disk.drain();
  if (ended.result[0]) throw ended.result[0];
}

/** A replica by itself has nowhere to keep snapshots. */
const NO_KEEPER: SnapshotKeeper = { keep: (_source, _request, done) => done(new IoError('notSupported', 'no pool')) };

export type OpenResult = { error: StoreError; store: null } | { error: null; store: FileReplicaStore };

export function tryOpen(disk: SimulatedDisk, bootId = BOOT, onFailed: (reason: string) => void = () => undefined): OpenResult {
  const ended = new Outcome<[StoreError | null, FileReplicaStore | null]>();
  openReplica({ disk, directory: DIRECTORY, replica: REPLICA, bootId, onFailed, keeper: NO_KEEPER }, ended.done);
  disk.drain();
  const [error, store] = ended.result;
  if (error) return { error, store: null };
  if (!store) throw new Error('neither an error nor a store');
  return { error: null, store };
}

export function open(disk: SimulatedDisk, bootId = BOOT, onFailed?: (reason: string) => void): FileReplicaStore {
  const { error, store } = tryOpen(disk, bootId, onFailed);
  if (error) throw error;
  return store;
}

/** A new replica, open. */
export function made(sizeBytes = 8 * MIB, disk = new SimulatedDisk()): { disk: SimulatedDisk; store: FileReplicaStore } {
  create(disk, sizeBytes);
  return { disk, store: open(disk) };
}

export const intend = (disk: SimulatedDisk, store: FileReplicaStore, ...extents: number[]): void =>
  finish(disk, (done) => store.addIntents(extents, done));

export const metaWith = (store: ReplicaStore, change: Partial<ReplicaMeta>): ReplicaMeta => ({ ...store.meta, ...change });
