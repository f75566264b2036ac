/**
 * Messages of one session as frames: a header and the chunks of its body, which are the message's own buffers, never copies. Who gave them must not change
 * them any more: their checksum is taken here, and they leave later. What breaks a rule here is our own mistake (assert), not a peer's.
 */
// A pure function of its arguments, though it comes from a module that elsewhere does I/O.
import { crc32 } from 'node:zlib';
import { assert, unreachable } from '../assert.ts';
import type { InstanceId } from '../ids.ts';
import { PROTOCOL } from '../versions.ts';
import { writeAllocationRuns, writeExtentSet, writeExtents, writeLevelRuns } from './bodies.ts';
import { bytesOf, checksumOf } from './chunks.ts';
import { type Halves, halvesOf } from './instance.ts';
import { CODE_OF, EXTENTS_MAX, FLAG, HEADER, HEADER_BYTES, KIND_OF, MAGIC, type Message } from './layout.ts';
import type { FromReplica, Operation, Request } from './messages.ts';
import type { Frame, SharedFrame } from './sharedFrame.ts';
import { writeMessage, writeRefused, writeSeal, writeSealed, writeSnapshot } from './texts.ts';

const HALF = 2 ** 32;
const HEADERS_PER_SLAB = 64;
const NO_BODY: readonly Buffer[] = [];

const COUNTED = 'a number on the wire is a safe integer, not negative';
const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

export class Encoder {
  readonly #epoch: number;
  readonly #instance: Halves;
  readonly #protocolVersion: number;
  readonly #shared: SharedFrame | null;
  /** Headers are cut from slabs and never used again: a socket may still hold the one before. */
  #slab: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(this.#slab.buffer, 0, 0);
  #at = 0;
  /** The shared fields of the frame being written; the table in layout.ts says which means what. */
  #flags = 0;
  #number = 0;
  #offset = 0;
  #length = 0;
  #argument = 0;
  #settled = 0;

  /** `shared`: by the encoders of a thread's primaries. `protocolVersion`: of the session. */
  constructor(session: { epoch: number; instance: InstanceId }, shared: SharedFrame | null = null, protocolVersion = PROTOCOL.highest) {
    assert(isCount(session.epoch), COUNTED);
    this.#shared = shared;
    this.#protocolVersion = protocolVersion;
    this.#epoch = session.epoch;
    this.#instance = halvesOf(session.instance);
  }

  /** The frame's chunks in order, the header first. */
  encode(message: Message): Frame {
    const known = this.#shared?.of(message, this.#epoch, this.#instance, this.#protocolVersion);
    if (known) return known;
    const frame = this.#make(message);
    this.#shared?.keep(message, this.#epoch, this.#instance, this.#protocolVersion, frame);
    return frame;
  }

  #make(message: Message): Frame {
    this.#flags = 0;
    this.#number = 0;
    this.#offset = 0;
    this.#length = 0;
    this.#argument = 0;
    this.#settled = 0;
    const body = this.#fill(message);
    const frame = [this.#header(CODE_OF[message.type], body)];
    for (const chunk of body) frame.push(chunk);
    return frame;
  }

  /** Sets the fields, returns the body. */
  #fill(message: Message): readonly Buffer[] {
    switch (message.type) {
      case 'write':
      case 'zero':
      case 'restamp':
        return this.#fillOperation(message);
      case 'read':
      case 'flush':
      case 'digest':
      case 'level':
      case 'changed':
      case 'allocation':
      case 'resize':
      case 'progress':
      case 'summary':
      case 'snapshot':
        return this.#fillRequest(message);
      case 'ping':
        this.#flags = message.mayClean ? FLAG.mayClean : 0;
        this.#number = message.id;
        this.#argument = message.leaseMs;
        this.#settled = message.settled;
        return NO_BODY;
      case 'seal':
        return [writeSeal(message)];
      case 'release':
        return NO_BODY;
      default:
        return this.#fillAnswer(message);
    }
  }

  #fillOperation(message: Operation): readonly Buffer[] {
    this.#number = message.sequence;
    this.#argument = message.version;
    this.#settled = message.settled;
    if (message.type === 'restamp') {
      this.#length = message.extents.length;
      return [writeExtents(message.extents)];
    }
    this.#setRange(message.offsetBytes, message.lengthBytes);
    if (message.type === 'write') return message.chunks;
    this.#flags = message.free ? FLAG.free : 0;
    return NO_BODY;
  }

  #fillRequest(message: Request): readonly Buffer[] {
    this.#number = message.id;
    switch (message.type) {
      case 'flush':
        return NO_BODY;
      case 'read':
      case 'allocation':
        this.#setRange(message.offsetBytes, message.lengthBytes);
        return NO_BODY;
      case 'digest':
        this.#offset = message.extent;
        this.#flags = message.stampOnly ? FLAG.stampOnly : 0;
        return NO_BODY;
      case 'changed':
        this.#argument = message.since;
        return NO_BODY;
      case 'level':
        this.#offset = message.extent;
        this.#length = message.runs.length;
        this.#argument = message.stamp;
        return writeLevelRuns(message.runs);
      default:
        return this.#fillRareRequest(message);
    }
  }

  #fillRareRequest(message: Extract<Request, { type: 'resize' | 'progress' | 'summary' | 'snapshot' }>): readonly Buffer[] {
    switch (message.type) {
      case 'resize':
        this.#length = message.sizeBytes;
        return NO_BODY;
      case 'progress':
        this.#offset = message.below;
        this.#length = message.since;
        this.#argument = message.version;
        return NO_BODY;
      case 'summary':
        this.#offset = message.extent;
        this.#length = message.extents;
        return NO_BODY;
      case 'snapshot':
        this.#argument = message.attempt;
        return [writeSnapshot(message)];
      default:
        return unreachable(message);
    }
  }

  #fillAnswer(message: FromReplica): readonly Buffer[] {
    switch (message.type) {
      case 'applied':
        this.#number = message.sequence;
        return NO_BODY;
      case 'data':
        this.#number = message.id;
        this.#length = message.lengthBytes;
        return message.chunks;
      case 'done':
      case 'pong':
        this.#number = message.id;
        return NO_BODY;
      case 'digests':
        this.#number = message.id;
        this.#argument = message.stamp;
        this.#flags = message.digests ? 0 : FLAG.allZero;
        return message.digests ? [message.digests] : NO_BODY;
      case 'summaryDigest':
        this.#number = message.id;
        return [message.digest];
      case 'changedSet':
        this.#number = message.id;
        this.#length = message.extents.extents;
        return [writeExtentSet(message.extents)];
      case 'allocationMap':
        this.#number = message.id;
        this.#length = message.runs.length;
        return [writeAllocationRuns(message.runs)];
      case 'sealed':
        return [writeSealed(message)];
      case 'refused':
        return [writeRefused(message)];
      case 'unable':
        this.#number = message.id;
        return [writeMessage(message)];
      case 'failed':
        return [writeMessage(message)];
      default:
        return unreachable(message);
    }
  }

  #setRange(offsetBytes: number, lengthBytes: number): void {
    assert(lengthBytes > 0 && isCount(offsetBytes + lengthBytes), 'a range is not empty and ends below 2^53');
    this.#offset = offsetBytes;
    this.#length = lengthBytes;
  }

  #header(code: number, body: readonly Buffer[]): Buffer {
    const bodyBytes = bytesOf(body);
    this.#assertSound(code, bodyBytes);
    if (this.#at === this.#slab.length) this.#newSlab();
    const at = this.#at;
    const view = this.#view;
    const header = this.#slab.subarray(at, at + HEADER_BYTES);
    this.#at += HEADER_BYTES;
    view.setUint32(at + HEADER.magic, MAGIC, true);
    view.setUint16(at + HEADER.protocolVersion, this.#protocolVersion, true);
    view.setUint8(at + HEADER.type, code);
    view.setUint8(at + HEADER.flags, this.#flags);
    view.setUint32(at + HEADER.bodyChecksum, checksumOf(body), true);
    view.setUint32(at + HEADER.bodyBytes, bodyBytes, true);
    writeU64(view, at + HEADER.epoch, this.#epoch);
    view.setUint32(at + HEADER.instance, this.#instance.low, true);
    view.setUint32(at + HEADER.instance + 4, this.#instance.high, true);
    writeU64(view, at + HEADER.number, this.#number);
    writeU64(view, at + HEADER.offset, this.#offset);
    writeU64(view, at + HEADER.length, this.#length);
    writeU64(view, at + HEADER.argument, this.#argument);
    writeU64(view, at + HEADER.settled, this.#settled);
    view.setUint32(at + HEADER.headerChecksum, crc32(header), true);
    return header;
  }

  /** The same facts that the decoder checks, before the other side has to. */
  #assertSound(code: number, bodyBytes: number): void {
    const kind = KIND_OF[code];
    assert(kind, 'every message has a frame type');
    assert(bodyBytes <= kind.bodyBytesMax, 'a body is no longer than its type allows');
    assert(kind.body !== 'bytes' || (bodyBytes === this.#length && bodyBytes > 0), 'a payload is as long as its message says');
    assert(this.#length <= kind.lengthMax, 'a length is no more than its type allows');
    assert(kind.fields.offset !== 'extent' || this.#offset < EXTENTS_MAX, 'an extent travels as u32');
    assert(isCount(this.#number) && isCount(this.#offset) && isCount(this.#argument) && isCount(this.#settled), COUNTED);
  }

  /** Zeroed, so that the reserved fields and the checksum's own need no writing. */
  #newSlab(): void {
    this.#slab = Buffer.alloc(HEADERS_PER_SLAB * HEADER_BYTES);
    this.#view = new DataView(this.#slab.buffer, this.#slab.byteOffset, this.#slab.length);
    this.#at = 0;
  }
}

function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / HALF), true);
}
