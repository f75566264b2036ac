/** A volume in a file, which a server that is killed leaves as it was. Answers at once. Replicates, persists and orders nothing. */
import { fstatSync, openSync, readSync, writeSync } from 'node:fs';
import type { AllocationRun, BlockClient, BlockDevice, Done, IoError, WriteDone } from '../../agent/ports.ts';

const ZEROES = Buffer.alloc(1024 * 1024);

export class FileDevice implements BlockDevice {
  readonly name: string;
  readonly uid: string;
  readonly #file: number;

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
    done(null, true);
  }

  zero(offsetBytes: number, lengthBytes: number, _options: { free: boolean; forceUnitAccess: boolean }, done: Done): void {
    for (let at = 0; at < lengthBytes; at += ZEROES.length)
      writeSync(this.#file, ZEROES, 0, Math.min(ZEROES.length, lengthBytes - at), offsetBytes + at);
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
