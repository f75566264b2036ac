/**
 * The disk as a replica's files and a pool see it. Interfaces and one error type only: `agent/edge/disk.ts` is the real one, the tests have
 * one that loses power. Must never touch a file itself.
 *
 * What is written, renamed or removed is in the cache at once and may be lost, in any part and in any order, until the sync that covers it
 * has called back. Synchronous methods throw DiskError; asynchronous ones call back exactly once and never from within the call itself.
 */

import { StorageError } from './storageError.ts';

/** Smallest piece that a disk writes whole: after a power loss each one is as it was, or as it was last written, never a mix. */
export const SECTOR_BYTES = 512;

export class DiskError extends StorageError {
  override readonly name = 'DiskError';
  /** As the system calls it: `EIO`, `ENOSPC`, `ENOENT`. */
  readonly code: string;

  constructor(code: string, call: string, path: string, options?: ErrorOptions) {
    super(`${call} ${path}: ${code}`, options);
    this.code = code;
  }
}

export type DiskDone = (error: DiskError | null) => void;

export interface DiskFile {
  readonly path: string;
  sizeBytes(): number;
  /** Fills `target` from the cache or the disk. How many bytes it got: fewer than asked at the end of the file, or at the disk's whim. */
  readAt(target: Uint8Array, offsetBytes: number): number;
  /** How many bytes of the chunks went to the cache: perhaps fewer than all. */
  writeAt(chunks: readonly Uint8Array[], offsetBytes: number): number;
  truncate(sizeBytes: number): void;
  /** The range reads as zeroes and its space is free. False: the file system cannot, nothing was done. */
  punchHole(offsetBytes: number, lengthBytes: number): boolean;
  /** The content, and what is needed to read it back (fdatasync). */
  syncData(done: DiskDone): void;
  /** All about it (fsync), but not its name: that is the directory's. */
  syncAll(done: DiskDone): void;
  close(): void;
}

export type DiskSpace = {
  /** All that could ever be used: what is kept for root does not count. */
  capacityBytes: number;
  usedBytes: number;
};

/** Held until released, or until the process that took it ends in whatever way. */
export interface DiskLock {
  release(): void;
}

export interface Disk {
  exists(path: string): boolean;
  /** An existing file, for reading and writing. */
  openFile(path: string): DiskFile;
  /** A new file in the place of whatever was there. */
  createFile(path: string): DiskFile;
  /** Nothing happens if it is there already. */
  makeDirectory(path: string): void;
  /** Names, sorted. */
  list(path: string): string[];
  /** Within one directory; replaces a file of that name in one step. */
  rename(from: string, to: string): void;
  /** Two names of one directory swap what they stand for, in one step. False: the file system cannot, nothing was done. */
  exchange(one: string, other: string): boolean;
  /** Asynchronous: a large file takes a file system a while. Removing what is not there succeeds. */
  removeFile(path: string, done: DiskDone): void;
  /** An empty one. */
  removeDirectory(path: string): void;
  /** The names in it: what was created, renamed or removed so far. */
  syncDirectory(path: string, done: DiskDone): void;
  space(path: string): DiskSpace;
  /**
   * A new file `to` with the content of `from`, whose blocks both share until either is written. Asynchronous: a file system writes out what it has cached of
   * `from` first. Nothing may be written to `from` until it calls back. `EOPNOTSUPP`: the file system cannot; there is no `to` then.
   */
  reflink(from: string, to: string, done: DiskDone): void;
  /** Whether files in this directory can share blocks. */
  canReflink(directory: string): boolean;
  /** The exclusive lock that this file stands for, or who has it already, in words. */
  tryLock(path: string): DiskLock | { heldBy: string };
}
