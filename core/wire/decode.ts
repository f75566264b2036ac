/**
 * The bytes of one direction of a session in, messages out, however the bytes were cut. Payloads are slices of the chunks that they came in, never joined.
 *
 *   header <-> body      any --a rule is broken, stop()--> ended
 *
 * Must never throw because of what came in, never keep more than one header and one body within the bounds of its type, and never hand anything over after
 * a rule was broken: what follows a broken frame may be anything.
 */
import { assert } from '../assert.ts';
import type { InstanceId } from '../ids.ts';
import { PROTOCOL, type VersionRange } from '../versions.ts';
import type { BlockPool } from './blockPool.ts';
import { BodyCollector } from './bodyCollector.ts';
import { DECODE_OF } from './decodeMessage.ts';
import { FrameHeader } from './header.ts';
import { type Halves, halvesOf, instanceOf } from './instance.ts';
import { type Direction, type FrameKind, HEADER_BYTES, type Message } from './layout.ts';
import type { FromReplica, ToReplica } from './messages.ts';
import { Violation } from './rules.ts';

const NO_CHUNKS: Buffer[] = [];

/** `protocolVersion` left out: the highest that we speak. */
export type Session = { readonly epoch: number; readonly instance: InstanceId; readonly protocolVersion?: number };

export class FrameDecoder<Heard extends Message> {
  readonly #direction: Direction;
  readonly #hand: (message: Heard) => void;
  readonly #header = new FrameHeader();
  readonly #body: BodyCollector;
  #keeps = false;
  #state: 'header' | 'body' | 'ended' = 'header';
  #headerBytes = 0;
  #violation: Violation | null = null;
  /** What every frame must carry; of the Seal itself where that opens the session. */
  #epoch: number | null = null;
  #instance: Halves = { high: 0, low: 0 };
  /** What a frame may be of; from the Seal on that one version only. */
  #spoken: VersionRange;
  /** Of the handshake: what has been heard so far. */
  #heard: 'nothing' | 'some' | 'last' = 'nothing';

  /**
   * `session` is null where the first frame is the Seal that opens it, which says of which version out of `spoken` it is. Each message is handed over from within `push` and `filled`. `blocks`: where long bodies
   * go, for a caller that reads them straight to their `room`.
   */
  constructor(
    direction: Direction,
    session: Session | null,
    hand: (message: Heard) => void,
    blocks: BlockPool | null = null,
    spoken: VersionRange = PROTOCOL,
  ) {
    const { protocolVersion: version } = session ?? {};
    this.#spoken = version === undefined ? spoken : { lowest: version, highest: version };
    this.#body = new BodyCollector(blocks);
    this.#direction = direction;
    this.#hand = hand;
    if (session === null) return;
    this.#epoch = session.epoch;
    this.#instance = halvesOf(session.instance);
  }

  /** Null until a Seal's header has come: before that nobody is there to be answered. Of a version that is not spoken here: as the highest that is. */
  get session(): Required<Session> | null {
    if (this.#epoch === null) return null;
    return { epoch: this.#epoch, instance: instanceOf(this.#instance), protocolVersion: this.#spoken.highest };
  }

  /** Whether slices of the chunk that was pushed last are in use: by a message, or for one that is not complete. */
  get keeps(): boolean {
    return this.#keeps;
  }

  /** Slices of what was pushed wait for the rest of their body. */
  get isWithinSlices(): boolean {
    return this.#state === 'body' && !this.#body.isLong;
  }

  /** Where the next bytes are best read to, if a long body is coming in; then `filled` says how many. */
  room(): Buffer | null {
    return this.#state === 'body' ? this.#body.room() : null;
  }

  filled(bytes: number): Violation | null {
    if (this.#state !== 'body') return this.#violation;
    this.#body.filled(bytes);
    if (this.#body.missingBytes === 0) this.#endBody();
    return this.#violation;
  }

  /** Takes the next bytes. Answers with the rule that they or those before them break; nothing is handed over from then on. */
  push(chunk: Buffer): Violation | null {
    let position = 0;
    this.#keeps = false;
    while (position < chunk.length && this.#state !== 'ended') {
      position = this.#state === 'header' ? this.#takeHeader(chunk, position) : this.#takeBody(chunk, position);
    }
    return this.#violation;
  }

  /** Hands nothing over any more, also out of the chunk that is being pushed. */
  stop(): void {
    this.#state = 'ended';
    this.#body.release();
  }

  #takeHeader(chunk: Buffer, position: number): number {
    const end = Math.min(chunk.length, position + HEADER_BYTES - this.#headerBytes);
    chunk.copy(this.#header.bytes, this.#headerBytes, position, end);
    this.#headerBytes += end - position;
    if (this.#headerBytes < HEADER_BYTES) return end;
    this.#headerBytes = 0;
    const broken = this.#header.read(this.#direction, this.#spoken) ?? this.#judge(this.#header);
    if (broken) this.#refuse(broken);
    else if (this.#header.bodyBytes > 0) this.#beginBody();
    else this.#complete(NO_CHUNKS, 0);
    return end;
  }

  #beginBody(): void {
    this.#body.begin(this.#header.bodyBytes);
    this.#state = 'body';
  }

  #takeBody(chunk: Buffer, position: number): number {
    if (!this.#body.isLong) this.#keeps = true;
    const end = this.#body.take(chunk, position);
    if (this.#body.missingBytes === 0) this.#endBody();
    return end;
  }

  #endBody(): void {
    this.#state = 'header';
    this.#complete(this.#body.release(), this.#body.checksum);
  }

  #complete(chunks: Buffer[], checksum: number): void {
    const header = this.#header;
    if (checksum !== header.bodyChecksum) return this.#refuse(new Violation('bodyChecksum', 'body checksum does not match'));
    const decode = DECODE_OF[header.kind?.code ?? 0];
    assert(decode, 'a header that was accepted has a type');
    const message = decode(header, chunks);
    if (message instanceof Violation) return this.#refuse(message);
    // Its type goes this way: the header was judged by the same direction that Heard stands for.
    this.#hand(message as Heard);
  }

  /** Whether this frame may come now, in this session. */
  #judge(header: FrameHeader): Violation | null {
    const kind = header.kind as FrameKind;
    const order = this.#ruleOfOrder(kind.name);
    if (order !== null) return new Violation('order', order);
    if (this.#epoch === null) return this.#openSession(header);
    if (header.epoch !== this.#epoch) return new Violation('epoch', `epoch ${header.epoch} in a session of epoch ${this.#epoch}`);
    if (header.instance.low !== this.#instance.low || header.instance.high !== this.#instance.high) {
      return new Violation('instance', 'a frame of another instance than the session');
    }
    return null;
  }

  #ruleOfOrder(name: Message['type']): string | null {
    const first = this.#heard === 'nothing';
    if (this.#heard === 'last') return `${name} after the last message of a session`;
    this.#heard = 'some';
    if (this.#direction === 'toReplica') {
      if (first === (name === 'seal')) return null;
      return first ? `${name} before the Seal` : 'a second Seal in one session';
    }
    const isLast = name === 'refused' || name === 'failed';
    if (isLast) this.#heard = 'last';
    if (isLast || first === (name === 'sealed')) return null;
    return first ? `${name} before the Seal was answered` : 'a Seal answered twice';
  }

  #openSession(header: FrameHeader): Violation | null {
    if (header.epoch === 0) return new Violation('epoch', "a Seal of epoch 0, which is nobody's");
    this.#adoptSession(header);
    this.#spoken = { lowest: header.protocolVersion, highest: header.protocolVersion };
    return null;
  }

  #adoptSession({ epoch, instance }: FrameHeader): void {
    this.#epoch = epoch;
    this.#instance = { ...instance };
  }

  #refuse(violation: Violation): void {
    // A Seal of another version still says whose it is: its header never changes, and it is to be told why it is refused.
    if (violation.rule === 'protocolVersion' && this.#epoch === null && this.#header.epoch > 0) this.#adoptSession(this.#header);
    this.#violation = violation;
    this.stop();
  }
}

export const decoderToReplica = (
  hand: (message: ToReplica) => void,
  blocks: BlockPool | null = null,
  spoken: VersionRange = PROTOCOL,
): FrameDecoder<ToReplica> => new FrameDecoder('toReplica', null, hand, blocks, spoken);
export const decoderFromReplica = (
  session: Session,
  hand: (message: FromReplica) => void,
  blocks: BlockPool | null = null,
): FrameDecoder<FromReplica> => new FrameDecoder('fromReplica', session, hand, blocks);
