/** Inputs made of inputs: what a valid stream becomes when somebody flips, repeats, drops, cuts, splices. Must never change the input that it is given. */
import type { SeededRandom } from '../support/seededRandom.ts';
import type { Input } from './input.ts';

const MUTATIONS_MAX = 4;
const FRAMES_MAX = 40;
const FRAME_BYTES_MAX = 300_000;
const CHOICES_BYTES_MAX = 400;
/** Where lengths, offsets and counts break, if they do. */
const BOUNDARIES = [0, 1, 2, 7, 8, 127, 128, 255, 256, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 1_048_575, 1_048_576, 1_048_577].map(
  BigInt,
);
const WIDE = [
  2n ** 25n,
  2n ** 25n + 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 46n + 4096n,
  2n ** 48n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const WIDTHS = [1, 2, 4, 8] as const;

type Frames = Buffer[];
/** Where a number lies in a frame. */
export type Field = { at: number; bytes: 1 | 2 | 4 | 8; isLittle: boolean };

export type Sources = {
  random: SeededRandom;
  /** Any input of the corpus. */
  others: () => Input;
  /** Makes a frame whole again (lengths, checksums) where a target has such things. */
  repair: (frame: Buffer) => Buffer;
  fields: readonly Field[];
};

type Mutation = (frames: Frames, sources: Sources) => void;

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  setByte,
  setField,
  setField,
  setField,
  addToField,
  cutFrame,
  lengthenFrame,
  dropFrame,
  repeatFrame,
  swapFrames,
  takeFrame,
  takeFrame,
  spliceFrame,
  garbage,
];

export function mutate(input: Input, sources: Sources): Input {
  const { random, repair } = sources;
  const frames: Frames = input.frames.map((frame) => Buffer.from(frame));
  for (let count = 1 + random.below(MUTATIONS_MAX); count > 0; count--) MUTATIONS[random.below(MUTATIONS.length)]?.(frames, sources);
  return {
    choices: mutateChoices(input.choices, sources),
    frames: frames.slice(0, FRAMES_MAX).map((frame) => repair(frame.subarray(0, FRAME_BYTES_MAX))),
  };
}

function mutateChoices(choices: Buffer, { random, others }: Sources): Buffer {
  const changed = Buffer.from(choices.length > 0 ? choices : Buffer.from([random.below(256)]));
  const dice = random.below(6);
  if (dice < 2) changed[random.below(changed.length)] = random.below(256);
  if (dice === 2) return Buffer.concat([changed, randomBytes(random, 1 + random.below(16))]).subarray(0, CHOICES_BYTES_MAX);
  if (dice === 3) return Buffer.from(others().choices);
  return changed;
}

function pick(frames: Frames, random: SeededRandom): { index: number; frame: Buffer } {
  const index = random.below(frames.length);
  return { index, frame: frames[index] ?? Buffer.alloc(0) };
}

function flipBit(frames: Frames, { random }: Sources): void {
  const { frame } = pick(frames, random);
  const at = placeIn(frame, random);
  if (frame.length > 0) frame[at] = (frame[at] ?? 0) ^ (1 << random.below(8));
}

function setByte(frames: Frames, { random }: Sources): void {
  const { frame } = pick(frames, random);
  if (frame.length > 0) frame[placeIn(frame, random)] = random.below(256);
}

/** Heads have more to be broken than payloads. */
const placeIn = (frame: Buffer, random: SeededRandom): number =>
  random.below(random.chance(0.8) ? Math.min(128, frame.length) : frame.length);

function setField(frames: Frames, sources: Sources): void {
  const { random } = sources;
  const { frame } = pick(frames, random);
  const values = random.chance(0.6) ? BOUNDARIES : WIDE;
  const value = random.chance(0.9)
    ? (values[random.below(values.length)] ?? 0n)
    : BigInt(Math.floor(random.unit() * Number.MAX_SAFE_INTEGER));
  writeField(frame, sources, () => value);
}

function addToField(frames: Frames, sources: Sources): void {
  const change = BigInt(sources.random.below(9) - 4);
  writeField(pick(frames, sources.random).frame, sources, (value) => value + change);
}

function writeField(frame: Buffer, { random, fields }: Sources, change: (value: bigint) => bigint): void {
  const known = random.chance(0.5) ? fields[random.below(fields.length)] : undefined;
  const { at, bytes: width, isLittle } = known ?? anyField(frame, random);
  if (at + width > frame.length) return;
  const bytes = frame.subarray(at, at + width);
  if (isLittle) bytes.reverse();
  const value = BigInt.asUintN(width * 8, change(BigInt(`0x${bytes.toString('hex')}`)));
  bytes.write(value.toString(16).padStart(width * 2, '0'), 'hex');
  if (isLittle) bytes.reverse();
}

/** Of any width, in either order of bytes, mostly where fields are aligned. */
function anyField(frame: Buffer, random: SeededRandom): Field {
  const bytes = WIDTHS[random.below(WIDTHS.length)] ?? 1;
  const place = placeIn(frame, random);
  return { at: random.chance(0.7) ? place - (place % Math.min(bytes, 4)) : place, bytes, isLittle: random.chance(0.5) };
}

function cutFrame(frames: Frames, { random }: Sources): void {
  const { index, frame } = pick(frames, random);
  frames[index] = frame.subarray(0, random.below(frame.length + 1));
}

function lengthenFrame(frames: Frames, { random }: Sources): void {
  const { index, frame } = pick(frames, random);
  const bytes = random.chance(0.9) ? 1 + random.below(64) : random.below(70_000);
  frames[index] = Buffer.concat([frame, random.chance(0.5) ? Buffer.alloc(bytes) : randomBytes(random, Math.min(bytes, 256))]);
}

function dropFrame(frames: Frames, { random }: Sources): void {
  if (frames.length > 1) frames.splice(random.below(frames.length), 1);
}

function repeatFrame(frames: Frames, { random }: Sources): void {
  const { index, frame } = pick(frames, random);
  const times = random.chance(0.9) ? 1 : 1 + random.below(20);
  for (let count = 0; count < times; count++) frames.splice(index, 0, Buffer.from(frame));
}

function swapFrames(frames: Frames, { random }: Sources): void {
  const [one, other] = [pick(frames, random), pick(frames, random)];
  frames[one.index] = other.frame;
  frames[other.index] = Buffer.from(one.frame);
}

function takeFrame(frames: Frames, { random, others }: Sources): void {
  const theirs = others().frames;
  const taken = theirs[random.below(theirs.length)];
  if (taken) frames.splice(random.below(frames.length + 1), 0, Buffer.from(taken));
}

/** The beginning of one, the end of another. */
function spliceFrame(frames: Frames, { random, others }: Sources): void {
  const { index, frame } = pick(frames, random);
  const theirs = others().frames;
  const other = theirs[random.below(theirs.length)] ?? Buffer.alloc(0);
  const at = random.below(Math.min(frame.length, other.length) + 1);
  frames[index] = Buffer.concat([frame.subarray(0, at), other.subarray(at)]);
}

function garbage(frames: Frames, { random }: Sources): void {
  frames.splice(random.below(frames.length + 1), 0, randomBytes(random, random.below(100)));
}

const randomBytes = (random: SeededRandom, length: number): Buffer => Buffer.from(Array.from({ length }, () => random.below(256)));
