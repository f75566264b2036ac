/**
 * A primary of which one replica lies: what it says is what a good one would say, encoded, then repeated, dropped, changed in a field, broken, or preceded by
 * frames of the input; the others answer as they should. Must hold: nothing is thrown; a broken rule ends that session, by name; no more is kept than the
 * maxima allow; and once the liar is gone, every request that clients made comes to an answer.
 */
import { crc32 } from 'node:zlib';
import type { PrimaryLinkListener } from '../../../agent/replication/link.ts';
import { assert as must } from '../../../core/assert.ts';
import { BLOCK_BYTES, ExtentSet } from '../../../core/extent.ts';
import { snapshotUid } from '../../../core/ids.ts';
import { decoderFromReplica, type FrameDecoder } from '../../../core/wire/decode.ts';
import { Encoder } from '../../../core/wire/encode.ts';
import { HEADER, HEADER_BYTES } from '../../../core/wire/layout.ts';
import type { FromReplica } from '../../../core/wire/messages.ts';
import { PrimaryBench } from '../../support/primaryBench.ts';
import { instance } from '../../support/replicaBench.ts';
import type { Target } from '../engine.ts';
import { Choices, type Input } from '../input.ts';
import { FRAME_FIELDS, repairFrame } from './replica.ts';

const EPOCH = 5;
const IDENTITY = { epoch: EPOCH, instance: instance(1) };
const LIAR = 'b';
const STEPS = 30;
const ROUNDS_MAX = 20;
const BLOCKS = 1024;
/** Longer than ioTimeoutMs, whatever else is waited for first. */
const ANSWERED_BOUND_MS = 20_000;
/** Twice that of those that ship: time between events reaches nothing new, and most of a run is spent on it. */
const TICK_MS = 100;
const FIELDS = [HEADER.number, HEADER.offset, HEADER.length, HEADER.argument, HEADER.settled];
const VALUES = [0n, 1n, 2n, 3n, 255n, 256n, 4096n, 2n ** 20n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 52n, 2n ** 53n - 1n];

/** What stands between a good replica and the primary. */
class Liar {
  readonly #choices: Choices;
  readonly #frames: Buffer[];
  #decoder: FrameDecoder<FromReplica> | null = null;
  #encoder = new Encoder(IDENTITY);
  #hear: (message: FromReplica) => void = () => undefined;
  #next = 0;
  isBroken = false;

  constructor(choices: Choices, frames: readonly Buffer[]) {
    this.#choices = choices;
    this.#frames = [...frames];
  }

  /** From now on the listener hears what becomes of it on its way. */
  between(listener: PrimaryLinkListener): void {
    const hear = listener.message.bind(listener);
    this.isBroken = false;
    this.#hear = hear;
    this.#decoder = decoderFromReplica(IDENTITY, (message) => this.#hear(message));
    this.#encoder = new Encoder(IDENTITY);
    listener.message = (message) => this.#say(Buffer.concat(this.#encoder.encode(message)));
  }

  #say(frame: Buffer): void {
    const dice = this.#choices.byte();
    if (dice < 150) return this.#push(frame);
    if (dice < 170) return this.#push(frame, frame);
    if (dice < 190) return;
    if (dice < 225) return this.#push(this.#changed(frame));
    if (dice < 250) return this.#push(this.#instead(frame), frame);
    this.#push(frame.subarray(0, this.#choices.below(frame.length)), frame);
  }

  /** A frame of the input, with the good answer's number: else it would answer nothing that was asked. */
  #instead(frame: Buffer): Buffer {
    const given = this.#frames[this.#next++ % this.#frames.length];
    if (!given || given.length < HEADER_BYTES || this.#choices.chance(3)) return given ?? frame;
    const instead = Buffer.from(given);
    if (instead.readBigUInt64LE(HEADER.number) > 0n) frame.copy(instead, HEADER.number, HEADER.number, HEADER.number + 8);
    return withChecksum(instead);
  }

  #changed(frame: Buffer): Buffer {
    const changed = Buffer.from(frame);
    const at = FIELDS[this.#choices.below(FIELDS.length)] ?? HEADER.number;
    changed.writeBigUInt64LE(VALUES[this.#choices.below(VALUES.length)] ?? 0n, at);
    return withChecksum(changed);
  }

  #push(...frames: Buffer[]): void {
    for (const frame of frames) if (!this.isBroken && this.#decoder?.push(frame)) this.isBroken = true;
  }
}

function withChecksum(frame: Buffer): Buffer {
  frame.writeUInt32LE(0, HEADER.headerChecksum);
  frame.writeUInt32LE(crc32(frame.subarray(0, HEADER_BYTES)), HEADER.headerChecksum);
  return frame;
}

/** What else the primary has to do: bits of a frame of one byte. An input without one is what it was before there was a choice. */
const EXTRA = { scrubs: 1, snapshots: 2, grows: 4, shards: 8 };

const extrasOf = (frames: readonly Buffer[]): number => frames.find(({ length }) => length === 1)?.readUInt8(0) ?? 0;

type Rig = { bench: PrimaryBench; liar: Liar; asked: number; extras: number };

function makeRig(choices: Choices, frames: readonly Buffer[]): Rig {
  const liar = new Liar(choices, frames);
  const isLearner = choices.chance(3);
  const extras = extrasOf(frames);
  const another = extras & EXTRA.shards ? '/def' : '';
  const bench = new PrimaryBench({
    inSync: `${isLearner ? 'ac' : 'abc'}${another}`,
    learners: isLearner ? LIAR : '',
    settings: extras & EXTRA.scrubs ? { scrubIntervalSeconds: 1 } : {},
    before: (made) => {
      const replica = made.replica(LIAR);
      const connected = replica.connected.bind(replica);
      replica.connected = (listener) => {
        liar.between(listener);
        connected(listener);
      };
      for (const letter of 'abc') made.replica(letter).log = [choices.below(4)];
      for (const letter of 'abc') made.replica(letter).suspect = choices.byte() < 20;
    },
  });
  return { bench, liar, asked: 0, extras };
}

/** Not `settle`: a liar may have everybody talk for ever, which costs it as much as us. */
function talk({ bench, liar }: Rig): void {
  for (let round = 0, isMoving = true; isMoving && round < ROUNDS_MAX; round++) {
    isMoving = false;
    for (const replica of bench.replicas.values()) isMoving = replica.answer() || isMoving;
    const { listener } = bench.replica(LIAR);
    if (!liar.isBroken || !listener) continue;
    liar.isBroken = false;
    bench.replica(LIAR).listener = null;
    listener.closed('a rule was broken');
  }
}

function step(rig: Rig, choices: Choices): void {
  const { bench } = rig;
  const kind = choices.below(8);
  if (kind <= 2) bench.write(choices.below(BLOCKS));
  else if (kind === 3) bench.read(choices.below(BLOCKS));
  else if (kind === 4) bench.flush();
  if (kind <= 4) rig.asked++;
  if (kind === 5) land(bench);
  if (kind >= 6) pass(rig, 50 + choices.byte() * 4);
  if (rig.extras !== 0) doMore(rig, choices);
  talk(rig);
}

/** Whether a snapshot is made is the replicas' to say; that it is answered is not waited for, for it has longer than clients have. */
function doMore({ bench, extras }: Rig, choices: Choices): void {
  const kind = choices.below(8);
  if (kind === 0 && extras & EXTRA.snapshots)
    bench.primary.snapshot({ snapshot: snapshotUid('snapshot-1'), attempt: 1 + choices.byte() }, () => undefined);
  if (kind === 1 && extras & EXTRA.grows)
    bench.lands((config) => ({ ...config, sizeBytes: config.sizeBytes + (1 + choices.below(600)) * BLOCK_BYTES }));
  for (const letter of 'de') if (kind === 2 && bench.replicas.has(letter)) bench.replica(letter).mute.add('write');
}

function land(bench: PrimaryBench): void {
  const proposed = bench.proposals.at(-1);
  if (proposed && proposed.version > bench.config.version) bench.lands();
}

function pass(rig: Rig, durationMs: number): void {
  const { bench } = rig;
  for (const untilMs = bench.nowMs + durationMs; bench.nowMs < untilMs; ) {
    bench.nowMs += TICK_MS;
    bench.primary.tick();
    talk(rig);
  }
}

function run({ choices: bytes, frames }: Input): void {
  const choices = new Choices(bytes);
  const rig = makeRig(choices, frames);
  for (let count = 0; count < STEPS; count++) step(rig, choices);
  const { bench } = rig;
  const liar = bench.replica(LIAR);
  liar.breaks();
  for (const untilMs = bench.nowMs + ANSWERED_BOUND_MS; bench.nowMs < untilMs && bench.answers.length < rig.asked; ) {
    land(bench);
    pass(rig, 200);
  }
  must(bench.answers.length === rig.asked, `${rig.asked} requests, ${bench.answers.length} answers: ${bench.answers.join(', ')}`);
}

const message = (sent: FromReplica): Buffer => Buffer.concat(new Encoder(IDENTITY).encode(sent));

function allOf(extents: number): ExtentSet {
  const set = new ExtentSet(extents);
  for (let extent = 0; extent < extents; extent++) set.add(extent);
  return set;
}

const FRAMES: Buffer[] = [
  message({ type: 'sealed', suspect: false, sizeBytes: 2 ** 40, leaseRemainingMs: 60_000, resync: null }),
  message({ type: 'applied', sequence: 2 ** 53 - 1 }),
  message({ type: 'done', id: 1 }),
  message({ type: 'data', id: 1, chunks: [Buffer.alloc(4096, 1)], lengthBytes: 4096 }),
  message({ type: 'digests', id: 1, stamp: 2 ** 40, digests: Buffer.alloc(16 * 256, 3) }),
  message({ type: 'allocationMap', id: 1, runs: [{ lengthBytes: 2 ** 40, hole: true }] }),
  message({ type: 'changedSet', id: 1, extents: allOf(1000) }),
  message({ type: 'changedSet', id: 2, extents: allOf(0) }),
  message({ type: 'changedSet', id: 3, extents: allOf(3) }),
  message({ type: 'digests', id: 2, stamp: 1, digests: Buffer.alloc(16 * 3, 3) }),
  message({ type: 'digests', id: 3, stamp: 2 ** 53 - 1, digests: null }),
  message({ type: 'data', id: 2, chunks: [Buffer.alloc(3)], lengthBytes: 3 }),
  message({ type: 'allocationMap', id: 2, runs: [] }),
  message({
    type: 'sealed',
    suspect: true,
    sizeBytes: 4096,
    leaseRemainingMs: 2 ** 53 - 1,
    resync: { since: 20, version: 2 ** 53 - 1, below: 2 ** 40 },
  }),
  message({ type: 'sealed', suspect: false, sizeBytes: 4 * 2 ** 20, leaseRemainingMs: 0, resync: { since: 0, version: 1, below: 3 } }),
  message({ type: 'pong', id: 1 }),
  message({ type: 'summaryDigest', id: 1, digest: Buffer.alloc(16, 1) }),
  message({ type: 'unable', id: 1, message: 'no space' }),
  message({ type: 'refused', code: 'fenced', message: 'epoch 9 is promised', promisedEpoch: 9, seenVersion: 99 }),
  message({ type: 'failed', message: 'fdatasync: EIO' }),
];

export const primaryTarget: Target = {
  name: 'primary',
  sources: /\/(agent\/primary|core\/wire)\//,
  seeds: () =>
    Array.from({ length: 12 + 15 }, (_, index) => ({
      choices: Buffer.from(Array.from({ length: 60 }, (_byte, at) => (index * 89 + at * 57 + at * at * 13 * index) & 255)),
      frames:
        index === 0 ? [Buffer.alloc(0)] : [...FRAMES.slice(index % FRAMES.length), ...(index > 11 ? [Buffer.from([index - 11])] : [])],
    })),
  fields: FRAME_FIELDS,
  repair: repairFrame,
  run,
};
