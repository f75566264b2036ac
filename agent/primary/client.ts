/**
 * One client's connection to a volume: what goes to the frontend at once, or behind others because the volume has a limit. Flushes and questions of
 * what is allocated have none: they move no data, and a flush that is late holds up its client twice.
 */
import { type AllocationRun, type BlockClient, type Done, IoError, type WriteDone } from '../ports.ts';
import type { Throttle } from './throttle.ts';

export type ReadDone = (error: IoError | null, chunks: Buffer[]) => void;
export type AllocationDone = (error: IoError | null, runs: AllocationRun[]) => void;

export const beyondEnd = (): IoError => new IoError('invalid', 'beyond the end of the volume');

export type OperationRequest =
  | { type: 'write'; offsetBytes: number; lengthBytes: number; chunks: Buffer[] }
  | { type: 'zero'; offsetBytes: number; lengthBytes: number; free: boolean };

/** Where they go. */
export interface Requests {
  readonly throttle: Throttle;
  readNow(offsetBytes: number, target: Buffer): boolean;
  read(client: Client, offsetBytes: number, lengthBytes: number, done: ReadDone): void;
  operate(client: Client, request: OperationRequest, forceUnitAccess: boolean, done: WriteDone): void;
  flush(client: Client, done: Done): void;
  allocation(client: Client, offsetBytes: number, lengthBytes: number, done: AllocationDone): void;
  forget(client: Client): void;
}

export class Client implements BlockClient {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  readNow(offsetBytes: number, target: Buffer): boolean {
    return this.#requests.readNow(offsetBytes, target);
  }

  read(offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const { throttle } = this.#requests;
    if (throttle.passes(lengthBytes)) return this.#requests.read(this, offsetBytes, lengthBytes, done);
    throttle.hold({
      owner: this,
      bytes: lengthBytes,
      go: () => this.#requests.read(this, offsetBytes, lengthBytes, done),
      refuse: (error) => done(error, []),
    });
  }

  write(offsetBytes: number, chunks: Buffer[], lengthBytes: number, forceUnitAccess: boolean, done: WriteDone): void {
    this.#operate({ type: 'write', offsetBytes, lengthBytes, chunks }, forceUnitAccess, done);
  }

  zero(offsetBytes: number, lengthBytes: number, options: { free: boolean; forceUnitAccess: boolean }, done: Done): void {
    this.#operate({ type: 'zero', offsetBytes, lengthBytes, free: options.free }, options.forceUnitAccess, done);
  }

  flush(done: Done): void {
    this.#requests.flush(this, done);
  }

  allocation(offsetBytes: number, lengthBytes: number, done: AllocationDone): void {
    this.#requests.allocation(this, offsetBytes, lengthBytes, done);
  }

  close(): void {
    this.#requests.forget(this);
  }

  #operate(request: OperationRequest, forceUnitAccess: boolean, done: WriteDone): void {
    const { throttle } = this.#requests;
    if (throttle.passes(request.lengthBytes)) return this.#requests.operate(this, request, forceUnitAccess, done);
    throttle.hold({
      owner: this,
      bytes: request.lengthBytes,
      go: () => this.#requests.operate(this, request, forceUnitAccess, done),
      refuse: done,
    });
  }
}
