/** A volume in a file, which a server that is killed leaves as it was. Answers at once, or writes as late as it is told. Replicates, persists and orders nothing. */
import { fstatSync, openSync, readSync, writeSync } from 'node:fs';
import koffi from 'koffi';
import type { AllocationRun, BlockClient, BlockDevice, Done, IoError, WriteDone } from '../../agent/ports.ts';

/** FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE. */
const PUNCH = 3;
const fallocate = koffi.load(null).func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');

function punch(file: number, offsetBytes: number, lengthBytes: number): void {
  if (fallocate(file, PUNCH, offsetBytes, lengthBytes) !== 0) throw new Error(`no hole can be punched: errno ${koffi.errno()}`);
}

export class FileDevice implements BlockDevice {
  readonly name: string;
  readonly uid: string;
  readonly #file: number;
  /** How long every write waits for its answer: some are always on their way. */
  answerAfterMs = 0;

  constructor(name: string, uid: string, file: string) {
    this.name = name;
    this.uid = uid;
    this.#file = openSync(file, 'r+');
  }

  /** Grows when the file does. */
  get sizeBytes(): number {
    return fstatSync(this.#file).size;
  }

  connect(): BlockClient {
    return new FileClient(this, this.#file);
  }
}

class FileClient implements BlockClient {
  readonly #device: FileDevice;
  readonly #file: number;

  constructor(device: FileDevice, file: number) {
    this.#device = device;
    this.#file = file;
  }

  readNow(offsetBytes: number, target: Buffer): boolean {
    return readSync(this.#file, target, 0, target.length, offsetBytes) === target.length;
  }

  read(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, chunks: Buffer[]) => void): void {
    const target = Buffer.alloc(lengthBytes);
    readSync(this.#file, target, 0, lengthBytes, offsetBytes);
    done(null, [target]);
  }

  write(offsetBytes: number, chunks: Buffer[], _lengthBytes: number, _force: boolean, done: WriteDone): void {
    let at = offsetBytes;
    for (const chunk of chunks) at += writeSync(this.#file, chunk, 0, chunk.length, at);
    const { answerAfterMs } = this.#device;
    if (answerAfterMs === 0) done(null, true);
    else setTimeout(done, answerAfterMs, null, true);
  }

  zero(offsetBytes: number, lengthBytes: number, _options: { free: boolean; forceUnitAccess: boolean }, done: Done): void {
    punch(this.#file, offsetBytes, lengthBytes);
    done(null);
  }

  flush(done: Done): void {
    done(null);
  }

  allocation(_offsetBytes: number, _lengthBytes: number, done: (error: IoError | null, runs: AllocationRun[]) => void): void {
    done(null, [{ lengthBytes: this.#device.sizeBytes, hole: false }]);
  }

  close(): void {
    // The file is the device's.
  }
}
