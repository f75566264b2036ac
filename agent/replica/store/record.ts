/**
 * Small facts that are rewritten whole: one line of JSON, one line with its checksum. A file is replaced in one step, so that it always
 * holds one version or the next. Must never take for a record what is not exactly that.
 */
import { crc32 } from 'node:zlib';
import { assert } from '../../../core/assert.ts';
import type { Disk, DiskDone, DiskFile } from './disk.ts';
import { readFully, writeFully } from './diskFile.ts';
import { inOrder, now, type Step, type StepDone } from './inOrder.ts';

/** A record longer than this is not one of ours. */
export const RECORD_BYTES_MAX = 1024 * 1024;

const checksumLine = (line: string): string => JSON.stringify({ crc32: crc32(line).toString(16).padStart(8, '0') });

export function encodeRecord(value: unknown): Buffer {
  const line = JSON.stringify(value);
  return Buffer.from(`${line}\n${checksumLine(line)}\n`);
}

export type Decoded<Value> = { value: Value; problem: null } | { problem: string };

/** The value, or the rule that the bytes break. */
export function decodeRecord(bytes: Buffer): Decoded<unknown> {
  const text = bytes.toString('utf8');
  const end = text.indexOf('\n');
  if (end < 0) return { problem: 'its first line has no end' };
  const line = text.slice(0, end);
  // Compared as bytes: text that is not UTF-8 has already been changed by reading it.
  if (!bytes.equals(Buffer.from(`${line}\n${checksumLine(line)}\n`))) return { problem: 'its checksum line is missing or wrong' };
  try {
    return { value: JSON.parse(line), problem: null };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { problem: `it is not JSON: ${error.message}` };
  }
}

/** Throws DiskError. */
export function readRecord(disk: Disk, path: string): Decoded<unknown> {
  if (!disk.exists(path)) return { problem: 'it is missing' };
  const file = disk.openFile(path);
  try {
    const sizeBytes = file.sizeBytes();
    if (sizeBytes > RECORD_BYTES_MAX) return { problem: `it is ${sizeBytes} bytes long, more than ${RECORD_BYTES_MAX}` };
    const bytes = Buffer.alloc(sizeBytes);
    readFully(file, bytes, 0);
    return decodeRecord(bytes);
  } finally {
    file.close();
  }
}

/** How the syncs of a replacement are made: a replica's go through its guard. */
export type SyncRunner = (what: string, start: (ended: DiskDone) => void, done: StepDone) => void;

export const plainSync: SyncRunner = (_what, start, done) => start(done);

export type Replacement = {
  disk: Disk;
  directory: string;
  name: string;
  /**
   * Written beside, then the two swap names. So the record before stays under this name, and its blocks serve the next one: a full disk does
   * not keep a replica from promising an epoch or from saying that it failed. Nobody ever reads it; a crash may leave anything in it.
   */
  temporaryName: string;
  value: unknown;
  sync: SyncRunner;
};

/** Puts a record in the place of the one before; calls back when that is durable. */
export function replaceRecord({ disk, directory, name, temporaryName, value, sync }: Replacement, done: StepDone): void {
  const path = `${directory}/${name}`;
  const temporary = `${directory}/${temporaryName}`;
  const bytes = encodeRecord(value);
  assert(bytes.length <= RECORD_BYTES_MAX, `a record of ${bytes.length} bytes`);
  let file: DiskFile | null = null;
  const steps: Step[] = [
    // A crash after it: the old record, and a temporary file that nobody reads.
    now(() => {
      file = disk.exists(temporary) ? disk.openFile(temporary) : disk.createFile(temporary);
      writeFully(file, [bytes], bytes.length, 0);
      file.truncate(bytes.length);
    }),
    // A crash after it: the same. The content has to be durable before the name is, or the name could come to stand for an empty file.
    (next) => sync(`fsync of ${temporary}`, (ended) => file?.syncAll(ended), next),
    // A crash after it: the old record or the new one, each whole.
    now(() => {
      const isSwapped = disk.exists(path) && disk.exchange(temporary, path);
      if (!isSwapped) disk.rename(temporary, path);
    }),
    // A crash after it: the new record.
    (next) => sync(`fsync of ${directory}`, (ended) => disk.syncDirectory(directory, ended), next),
  ];
  inOrder(steps, (error) => {
    file?.close();
    done(error);
  });
}
