/** An NBD session without a socket: what it sends is collected, its deferred work runs when the test says so, its device can be made to wait. */

import type { NbdError } from '../../agent/nbd/layout.ts';
import { DEFAULT_LIMITS, type NbdLimits } from '../../agent/nbd/limits.ts';
import type { NbdConnection, NbdEvents } from '../../agent/nbd/ports.ts';
import type { CommandKind } from '../../agent/nbd/request.ts';
import type { ConnectionRule, RequestRule } from '../../agent/nbd/rules.ts';
import { NbdSession } from '../../agent/nbd/session.ts';
import type { AllocationRun, BlockClient, BlockDevice, Done } from '../../agent/ports.ts';
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import type { BlockPool } from '../../core/wire/blockPool.ts';
import { clientFlags, GREETING, goOption, setContextOption, structuredReplyOption } from './nbdWire.ts';

export class CollectedEvents implements NbdEvents {
  readonly completed: { kind: CommandKind; lengthBytes: number; durationMs: number; error: NbdError }[] = [];
  readonly refusedRequests: RequestRule[] = [];
  readonly refusedConnections: ConnectionRule[] = [];
  readonly acceptErrors: Error[] = [];
  opened = 0;
  closed = 0;

  requestCompleted(kind: CommandKind, lengthBytes: number, durationMs: number, error: NbdError): void {
    this.completed.push({ kind, lengthBytes, durationMs, error });
  }
  requestRefused(rule: RequestRule): void {
    this.refusedRequests.push(rule);
  }
  connectionRefused(rule: ConnectionRule): void {
    this.refusedConnections.push(rule);
  }
  acceptFailed(error: Error): void {
    this.acceptErrors.push(error);
  }
  connectionOpened(): void {
    this.opened++;
  }
  connectionClosed(): void {
    this.closed++;
  }
}

/** Calls to the device that wait until the test lets them happen, in any order. */
export class HeldDevice implements BlockDevice {
  readonly #device: BlockDevice;
  readonly calls: HeldCall[] = [];
  closedClients = 0;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  get name(): string {
    return this.#device.name;
  }

  get uid(): string {
    return this.#device.uid;
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes;
  }

  connect(): BlockClient {
    const client = this.#device.connect();
    const hold = (call: HeldCall) => this.calls.push(call);
    return {
      readNow: () => false,
      read: (offsetBytes, lengthBytes, done) =>
        hold({
          kind: 'read',
          offsetBytes,
          lengthBytes,
          go: () => client.read(offsetBytes, lengthBytes, done),
          fail: (error) => done(error, []),
        }),
      write: (offsetBytes, chunks, lengthBytes, fua, done) =>
        hold({
          kind: 'write',
          offsetBytes,
          lengthBytes,
          chunks,
          go: () => client.write(offsetBytes, chunks, lengthBytes, fua, done),
          fail: done,
        }),
      zero: (offsetBytes, lengthBytes, options, done) =>
        hold({
          kind: 'zero',
          offsetBytes,
          lengthBytes,
          options,
          go: () => client.zero(offsetBytes, lengthBytes, options, done),
          fail: done,
        }),
      flush: (done) => hold({ kind: 'flush', offsetBytes: 0, lengthBytes: 0, go: () => client.flush(done), fail: done }),
      allocation: (offsetBytes, lengthBytes, done) =>
        hold({
          kind: 'allocation',
          offsetBytes,
          lengthBytes,
          go: () => client.allocation(offsetBytes, lengthBytes, done),
          fail: (error) => done(error, []),
          answer: (runs) => done(null, runs),
        }),
      close: () => {
        this.closedClients++;
        client.close();
      },
    };
  }

  /** The oldest call that waits. */
  next(): HeldCall {
    const call = this.calls.shift();
    assert(call !== undefined, 'no call waits');
    return call;
  }
}

export type HeldCall = {
  kind: 'read' | 'write' | 'zero' | 'flush' | 'allocation';
  offsetBytes: number;
  lengthBytes: number;
  chunks?: Buffer[];
  options?: { free: boolean; forceUnitAccess: boolean };
  go: () => void;
  fail: Done;
  answer?: (runs: AllocationRun[]) => void;
};

export type Ending = 'open' | 'ended' | 'destroyed';

export class TestConnection implements NbdConnection {
  readonly session: NbdSession;
  readonly events = new CollectedEvents();
  readonly clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 } satisfies Clock;
  nowMs = 0;
  ending: Ending = 'open';
  paused = false;
  /** What `write` answers. */
  acceptsMore = true;
  /** What is written is gone at once. */
  isSent = false;
  /** One entry for each `write`. */
  sent: Buffer[][] = [];
  #taken = 0;
  #deferred: (() => void)[] = [];
  #waiting: Buffer[] = [];

  constructor(device: BlockDevice, limits: Partial<NbdLimits> = {}, blocks?: BlockPool) {
    this.session = new NbdSession({
      device,
      connection: this,
      events: this.events,
      clock: this.clock,
      limits: { ...DEFAULT_LIMITS, ...limits },
      ...(blocks && { blocks }),
      defer: (callback) => this.#deferred.push(callback),
    });
    this.session.start();
    assert(this.take().equals(GREETING), 'a session begins with the greeting');
  }

  write(chunks: Buffer[]): boolean {
    assert(this.ending === 'open', 'nothing is written after the end');
    assert(chunks.length > 0, 'a write has something to write');
    this.sent.push(this.isSent ? chunks.map((chunk) => Buffer.from(chunk)) : chunks);
    return this.acceptsMore;
  }
  pause(): void {
    assert(!this.paused, 'paused twice');
    this.paused = true;
  }
  resume(): void {
    assert(this.paused, 'resumed without a pause');
    this.paused = false;
  }
  end(): void {
    this.ending = 'ended';
  }
  destroy(): void {
    this.ending = 'destroyed';
  }

  /** Bytes from the client, one chunk each; what comes in a pause waits as it would in a socket. */
  receive(...chunks: Buffer[]): void {
    this.#waiting.push(...chunks);
    while (!this.paused) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) return;
      this.session.receive(chunk);
    }
  }

  get deferredCount(): number {
    return this.#deferred.length;
  }

  get waitingBytes(): number {
    return this.#waiting.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** The turn of the event loop ends: deferred work runs, then what waited in the socket. */
  turn(): void {
    for (let rounds = 0; this.#deferred.length > 0 || (!this.paused && this.#waiting.length > 0); rounds++) {
      assert(rounds < 100_000, 'a session comes to rest');
      for (const callback of this.#deferred.splice(0)) callback();
      this.receive();
    }
  }

  /** All bytes sent since the last call, after the turn has ended. */
  take(): Buffer {
    this.turn();
    const fresh = this.sent.slice(this.#taken).flat();
    this.#taken = this.sent.length;
    return Buffer.concat(fresh);
  }
}

export type Agreed = { structured: boolean; context: boolean };

/** A connection whose handshake is behind it. */
export function transmitting(
  device: BlockDevice,
  agreed: Partial<Agreed> = {},
  limits: Partial<NbdLimits> = {},
  blocks?: BlockPool,
): TestConnection {
  const { structured = true, context = structured } = agreed;
  const connection = new TestConnection(device, limits, blocks);
  connection.receive(clientFlags());
  if (structured) connection.receive(structuredReplyOption());
  if (context) connection.receive(setContextOption('', 'base:allocation'));
  connection.receive(goOption(''));
  connection.take();
  return connection;
}
