/**
 * Each end of a socket that is read into memory of our own, while freed memory is spoilt: however the bytes were cut, whoever holds what for how long and
 * gives it back or does not, every message is what was sent at the moment at which it is given back.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import fc from 'fast-check';
import { type ByteSink, Receiver } from '../../../../agent/edge/directSocket.ts';
import { IncomingSession } from '../../../../agent/edge/replicationSession.ts';
import { DEFAULT_LIMITS as NBD_LIMITS } from '../../../../agent/nbd/limits.ts';
import { NbdSession } from '../../../../agent/nbd/session.ts';
import type { BlockClient } from '../../../../agent/ports.ts';
import { DEFAULT_LIMITS } from '../../../../agent/replication/limits.ts';
import type { ReplicaLink } from '../../../../agent/replication/link.ts';
import { systemClock } from '../../../../core/clock.ts';
import { BLOCK_BYTES } from '../../../../core/extent.ts';
import { PROTOCOL } from '../../../../core/versions.ts';
import { BlockPool, LONG_BYTES } from '../../../../core/wire/blockPool.ts';
import { decoderFromReplica } from '../../../../core/wire/decode.ts';
import { Encoder } from '../../../../core/wire/encode.ts';
import type { FromReplica, ToReplica } from '../../../../core/wire/messages.ts';
import { spoilFreedMemory } from '../../../../core/wire/spoil.ts';
import { CollectedEvents } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';
import { pattern, SEAL, SESSION } from '../../core/wire/samples.ts';

const KIB = 1024;
const PAYLOAD_BYTES_MAX = 200 * KIB;
const BYTES = pattern(PAYLOAD_BYTES_MAX + 4 * KIB);
/** Each another one. */
const payloadOf = (index: number, lengthBytes: number): Buffer => {
  const from = (index * 97) % (4 * KIB);
  return BYTES.subarray(from, from + lengthBytes);
};

/** What somebody was handed, how it is given back, and how it is done with otherwise. */
type Held = { chunks: readonly Buffer[]; payload: Buffer; giveBack: () => void; forget?: () => void };
type Schedule = { lengths: number[]; cuts: number[]; turns: number[] };

const SCHEDULE: fc.Arbitrary<Schedule> = fc.record({
  lengths: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 1, max: 6 * KIB }) },
      fc.integer({ min: 1, max: PAYLOAD_BYTES_MAX }),
      fc.constantFrom(LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1),
    ),
    { minLength: 1, maxLength: 24 },
  ),
  // Always one that is not small, else a run takes for ever.
  cuts: fc
    .array(fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 40 * KIB })), { maxLength: 12 })
    .map((cuts) => [...cuts, 64 * KIB]),
  turns: fc.array(fc.nat(1_000), { minLength: 1, maxLength: 16 }),
});

/** One who was handed messages and gives them back now and then. */
class Holder {
  readonly #turns: readonly number[];
  /** Replicas work off what came in order; others give back in any. */
  readonly #inOrder: boolean;
  readonly all: Held[] = [];
  /** Not given back: the collector's, and what it was for ever. */
  readonly #forgotten: Held[] = [];
  #turn = 0;

  constructor(turns: readonly number[], inOrder = false) {
    this.#turns = turns;
    this.#inOrder = inOrder;
  }

  /** Behind each read, and behind the question for the next one's place, as the event loop does it. */
  turn(): void {
    const turn = this.#turns[this.#turn++ % this.#turns.length] ?? 0;
    for (let count = turn % 4; count > 0; count--) this.give(turn);
  }

  give(choice: number): void {
    const [held] = this.all.splice(this.#inOrder ? 0 : choice % Math.max(1, this.all.length), 1);
    if (!held) return;
    check(held);
    if (choice % 5 > 0) return held.giveBack();
    held.forget?.();
    // What was applied and not given back is read no more; what others were handed is theirs.
    if (!this.#inOrder) this.#forgotten.push(held);
  }

  end(): void {
    while (this.all.length > 0) this.give(1);
    for (const held of this.#forgotten) check(held);
  }
}

function check({ chunks, payload }: Held): void {
  expect(Buffer.concat(chunks).equals(payload), `a message of ${payload.length} bytes is what was sent`).to.equal(true);
}

/** As node reads a socket: bytes into the place that was asked for, the callback, the next place; and only then anything else. */
function deliver(receiver: Receiver, stream: Buffer, cuts: readonly number[], behindEach: () => void): void {
  const { buffer, callback } = receiver.onread;
  const ask = () => (typeof buffer === 'function' ? buffer() : buffer);
  let target = ask();
  let at = 0;
  for (let turn = 0; at < stream.length; turn++) {
    const bytes = Math.min(cuts[turn % cuts.length] ?? 1, target.length, stream.length - at);
    stream.copy(target, 0, at, at + bytes);
    at += bytes;
    callback(bytes, target);
    target = ask();
    behindEach();
  }
}

class SilentSocket extends Duplex {
  override _read(): void {
    // Nothing comes this way.
  }
  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
  setNoDelay(): void {
    // Nothing is sent.
  }
  setKeepAlive(): void {
    // Nobody is there.
  }
}

/** A client's writes, to a device that answers when it likes. */
function clientsWrites({ lengths, cuts, turns }: Schedule): void {
  const blocks = new BlockPool();
  const holder = new Holder(turns);
  const payloads = lengths.map((length, index) => payloadOf(index, length));
  let arrived = 0;
  let isPaused = false;
  const client: Partial<BlockClient> = {
    write: (_offset, chunks, _length, _fua, done) => {
      const payload = payloads[arrived++] ?? Buffer.alloc(0);
      holder.all.push({ chunks, payload, giveBack: () => done(null, true), forget: () => done(null, false) });
    },
    close: () => undefined,
  };
  const receiver = new Receiver(blocks);
  const session = new NbdSession({
    device: { name: 'volume', uid: 'uid-of-volume', sizeBytes: 1024 ** 3, connect: () => client as BlockClient },
    connection: {
      write: () => true,
      isSent: false,
      pause: () => {
        isPaused = true;
      },
      resume: () => {
        isPaused = false;
      },
      end: () => undefined,
      destroy: () => undefined,
    },
    events: new CollectedEvents(),
    clock: systemClock,
    limits: { ...NBD_LIMITS, requestsInFlightMax: 6 },
    blocks,
    defer: (callback) => callback(),
  });
  receiver.sink = {
    room: () => session.room(),
    filled: (bytes) => session.filled(bytes),
    received: (chunk) => (session.receive(chunk) ? 'chunk' : 'earlier'),
  };
  const writes = payloads.map((payload, cookie) => nbd.request({ type: nbd.WRITE, cookie, offset: 0, payload }));
  session.start();
  deliver(receiver, Buffer.concat([nbd.clientFlags(), nbd.goOption('volume'), ...writes]), cuts, () => {
    holder.turn();
    while (isPaused) holder.give(turns.length);
  });
  holder.end();
  expect(arrived).to.equal(lengths.length);
}

/** What a primary sends to a replica, which works it off in order, later. */
function atTheReplica({ lengths, cuts, turns }: Schedule): void {
  const holder = new Holder(turns, true);
  const receiver = new Receiver();
  const refused: string[] = [];
  let arrived = 0;
  const payloads = lengths.map((length, index) => payloadOf(index, index % 3 > 0 ? length : Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES));
  const heard = (link: ReplicaLink, message: ToReplica): void => {
    const chunks =
      message.type === 'write' ? message.chunks : message.type === 'level' ? message.runs.flatMap(({ data }) => data ?? []) : [];
    holder.all.push({ chunks, payload: payloads[arrived++] ?? Buffer.alloc(0), giveBack: () => link.release?.(chunks) });
  };
  const socket = new SilentSocket();
  new IncomingSession({
    socket: socket as unknown as Socket,
    receiver,
    blocks: new BlockPool(),
    proved: 'plain',
    appointed: (_seal, answered) => answered(null),
    accept: (_seal, link) => ({
      message: (message) => heard(link, message),
      burstEnd: () => undefined,
      get holds() {
        return holder.all.length > 0;
      },
      closed: () => undefined,
    }),
    events: {
      connectionRefused: ({ rule }) => refused.push(rule),
      connectionOpened: () => undefined,
      connectionClosed: () => undefined,
      acceptFailed: () => undefined,
    },
    limits: DEFAULT_LIMITS,
    spoken: PROTOCOL,
  });
  const encoder = new Encoder(SESSION);
  const frames = payloads.map((payload, index) => encoder.encode(index % 3 > 0 ? writeOf(payload, index) : levelOf(payload, index)));
  deliver(receiver, Buffer.concat([...encoder.encode(SEAL), ...frames.flat()]), cuts, () => holder.turn());
  holder.end();
  socket.destroy();
  expect([arrived, refused]).to.deep.equal([lengths.length, []]);
}

const writeOf = (payload: Buffer, index: number): ToReplica => ({
  type: 'write',
  sequence: index + 1,
  settled: index,
  version: 1,
  offsetBytes: 0,
  lengthBytes: payload.length,
  chunks: [payload],
});
const levelOf = (payload: Buffer, index: number): ToReplica => ({
  type: 'level',
  id: index + 1,
  extent: 0,
  stamp: 1,
  runs: [{ block: 0, blocks: payload.length / BLOCK_BYTES, data: [payload] }],
});

/** What a replica answers to its primary, where clients take their answers in any order (replicationClient.ts). */
function atThePrimary({ lengths, cuts, turns }: Schedule): void {
  const holder = new Holder(turns);
  const blocks = new BlockPool();
  const receiver = new Receiver();
  const payloads = lengths.map((length, index) => payloadOf(index, length));
  let arrived = 0;
  const decoder = decoderFromReplica(
    SESSION,
    (message) => {
      if (message.type !== 'data') return;
      const { chunks } = message;
      holder.all.push({ chunks, payload: payloads[arrived++] ?? Buffer.alloc(0), giveBack: () => blocks.give(chunks) });
    },
    blocks,
  );
  const sink: ByteSink = {
    room: () => decoder.room(),
    filled: (bytes) => expect(decoder.filled(bytes)).to.equal(null),
    received: (chunk) => {
      expect(decoder.push(chunk)).to.equal(null);
      return decoder.keeps ? 'chunk' : 'earlier';
    },
  };
  receiver.sink = sink;
  const encoder = new Encoder(SESSION);
  const sealed: FromReplica = { type: 'sealed', suspect: false, sizeBytes: 1024 ** 3, leaseRemainingMs: 0, resync: null };
  const answers = payloads.map((payload, id): FromReplica => ({ type: 'data', id, chunks: [payload], lengthBytes: payload.length }));
  deliver(receiver, Buffer.concat([sealed, ...answers].flatMap((message) => encoder.encode(message))), cuts, () => holder.turn());
  holder.end();
  expect(arrived).to.equal(lengths.length);
}

describe('memory of our own that sockets are read into', () => {
  beforeEach(() => spoilFreedMemory(true));
  afterEach(() => spoilFreedMemory(false));

  for (const [end, run] of Object.entries({
    'a client’s writes': clientsWrites,
    'a replica’s end': atTheReplica,
    'a primary’s end': atThePrimary,
  })) {
    it(`is what was sent for as long as somebody has it: ${end}`, () => {
      fc.assert(fc.property(SCHEDULE, run), { numRuns: 100 });
    });
  }
});
