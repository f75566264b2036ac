/**
 * A sparse volume in memory, as a BlockDevice: pieces are made when first written and given up when zeroed whole. Answers every request at once,
 * within the call. For tests and benchmarks of what is in front of a device; it replicates, persists and orders nothing.
 */
import { type AllocationRun, type BlockClient, type BlockDevice, type Done, IoError } from '../../agent/ports.ts';

const PIECE_BYTES = 64 * 1024;

export class MemoryDevice implements BlockDevice {
  readonly name: string;
  readonly uid: string;
  sizeBytes: number;
  readonly #pieces = new Map<number, Buffer>();
  /** Reads are answered straight to where the caller wants them. */
  readsNow = false;
  flushes = 0;
  forcedWrites = 0;
  clientsOpen = 0;
  clientsEver = 0;

  constructor(name: string, sizeBytes: number, uid = `uid-of-${name}`) {
    this.name = name;
    this.uid = uid;
    this.sizeBytes = sizeBytes;
  }

  get allocatedBytes(): number {
    return this.#pieces.size * PIECE_BYTES;
  }

  connect(): BlockClient {
    this.clientsOpen++;
    this.clientsEver++;
    return new MemoryClient(this);
  }

  isInside(offsetBytes: number, lengthBytes: number): boolean {
    return lengthBytes > 0 && offsetBytes >= 0 && offsetBytes + lengthBytes <= this.sizeBytes;
  }

  copyOut(offsetBytes: number, lengthBytes: number): Buffer {
    const target = Buffer.allocUnsafe(lengthBytes);
    forEachPiece(offsetBytes, lengthBytes, (index, start, end, at) => {
      const piece = this.#pieces.get(index);
      if (piece === undefined) target.fill(0, at, at + end - start);
      else piece.copy(target, at, start, end);
    });
    return target;
  }

  copyIn(offsetBytes: number, data: Buffer): void {
    forEachPiece(offsetBytes, data.length, (index, start, end, at) => data.copy(this.#piece(index), start, at, at + end - start));
  }

  zero(offsetBytes: number, lengthBytes: number, free: boolean): void {
    forEachPiece(offsetBytes, lengthBytes, (index, start, end) => {
      if (free && end - start === PIECE_BYTES) this.#pieces.delete(index);
      else if (!free || this.#pieces.has(index)) this.#piece(index).fill(0, start, end);
    });
  }

  runs(offsetBytes: number, lengthBytes: number): AllocationRun[] {
    const runs: AllocationRun[] = [];
    forEachPiece(offsetBytes, lengthBytes, (index, start, end) => runs.push({ lengthBytes: end - start, hole: !this.#pieces.has(index) }));
    return runs;
  }

  #piece(index: number): Buffer {
    const found = this.#pieces.get(index);
    if (found !== undefined) return found;
    const made = Buffer.alloc(PIECE_BYTES);
    this.#pieces.set(index, made);
    return made;
  }
}

class MemoryClient implements BlockClient {
  readonly #device: MemoryDevice;

  constructor(device: MemoryDevice) {
    this.#device = device;
  }

  readNow(offsetBytes: number, target: Buffer): boolean {
    if (!this.#device.readsNow || this.#outside(offsetBytes, target.length)) return false;
    this.#device.copyOut(offsetBytes, target.length).copy(target);
    return true;
  }

  read(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, chunks: Buffer[]) => void): void {
    const outside = this.#outside(offsetBytes, lengthBytes);
    done(outside, outside === null ? [this.#device.copyOut(offsetBytes, lengthBytes)] : []);
  }

  write(offsetBytes: number, chunks: Buffer[], lengthBytes: number, forceUnitAccess: boolean, done: Done): void {
    const outside = this.#outside(offsetBytes, lengthBytes);
    if (outside !== null) return done(outside);
    let at = offsetBytes;
    for (const chunk of chunks) {
      this.#device.copyIn(at, chunk);
      at += chunk.length;
    }
    if (at - offsetBytes !== lengthBytes) throw new Error(`a write of ${lengthBytes} bytes came with ${at - offsetBytes}`);
    if (forceUnitAccess) this.#device.forcedWrites++;
    done(null);
  }

  zero(offsetBytes: number, lengthBytes: number, options: { free: boolean; forceUnitAccess: boolean }, done: Done): void {
    const outside = this.#outside(offsetBytes, lengthBytes);
    if (outside !== null) return done(outside);
    this.#device.zero(offsetBytes, lengthBytes, options.free);
    if (options.forceUnitAccess) this.#device.forcedWrites++;
    done(null);
  }

  flush(done: Done): void {
    this.#device.flushes++;
    done(null);
  }

  allocation(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, runs: AllocationRun[]) => void): void {
    const outside = this.#outside(offsetBytes, lengthBytes);
    done(outside, outside === null ? this.#device.runs(offsetBytes, lengthBytes) : []);
  }

  close(): void {
    this.#device.clientsOpen--;
  }

  #outside(offsetBytes: number, lengthBytes: number): IoError | null {
    if (this.#device.isInside(offsetBytes, lengthBytes)) return null;
    return new IoError('invalid', `bytes ${offsetBytes} to ${offsetBytes + lengthBytes} are not inside ${this.#device.sizeBytes}`);
  }
}

/** Visits the range piece by piece: which piece, from where to where in it, and where that is in the range. */
function forEachPiece(
  offsetBytes: number,
  lengthBytes: number,
  visit: (index: number, start: number, end: number, at: number) => void,
): void {
  for (let at = 0; at < lengthBytes; ) {
    const index = Math.floor((offsetBytes + at) / PIECE_BYTES);
    const start = (offsetBytes + at) % PIECE_BYTES;
    const end = Math.min(PIECE_BYTES, start + lengthBytes - at);
    visit(index, start, end, at);
    at += end - start;
  }
}
