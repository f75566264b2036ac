/** A checked header and a complete body as the message that they are, or the rule that the body breaks. Must never keep the header: it is filled anew. */
import type { Parsed } from '../parse.ts';
import { readAllocationRuns, readExtentSet, readExtents, readLevelRuns } from './bodies.ts';
import { joined } from './chunks.ts';
import type { FrameHeader } from './header.ts';
import { instanceOf } from './instance.ts';
import { FRAME_KINDS, type Message } from './layout.ts';
import { Violation } from './rules.ts';
import { readMessage, readRefused, readSeal, readSealed, readSnapshot } from './texts.ts';

type Decode = (header: FrameHeader, chunks: Buffer[]) => Message | Violation;

/** One for each type; the compiler counts them. */
const DECODE: Readonly<Record<Message['type'], Decode>> = {
  seal: decodeSeal,
  write: (header, chunks) => ({
    type: 'write',
    sequence: header.number,
    settled: header.settled,
    version: header.argument,
    offsetBytes: header.offset,
    lengthBytes: header.length,
    chunks,
  }),
  zero: (header) => ({
    type: 'zero',
    sequence: header.number,
    settled: header.settled,
    version: header.argument,
    offsetBytes: header.offset,
    lengthBytes: header.length,
    free: header.flags !== 0,
  }),
  restamp: (header, chunks) => ({
    type: 'restamp',
    sequence: header.number,
    settled: header.settled,
    version: header.argument,
    extents: readExtents(chunks),
  }),
  read: (header) => ({ type: 'read', id: header.number, offsetBytes: header.offset, lengthBytes: header.length }),
  flush: (header) => ({ type: 'flush', id: header.number }),
  digest: (header) => ({ type: 'digest', id: header.number, extent: header.offset, stampOnly: header.flags !== 0 }),
  level: (header, chunks) => {
    const runs = readLevelRuns(chunks, header.length, header.bodyBytes);
    return runs instanceof Violation ? runs : { type: 'level', id: header.number, extent: header.offset, stamp: header.argument, runs };
  },
  changed: (header) => ({ type: 'changed', id: header.number, since: header.argument }),
  allocation: (header) => ({ type: 'allocation', id: header.number, offsetBytes: header.offset, lengthBytes: header.length }),
  ping: (header) => ({
    type: 'ping',
    id: header.number,
    settled: header.settled,
    leaseMs: header.argument,
    mayClean: header.flags !== 0,
  }),
  release: () => ({ type: 'release' }),
  resize: (header) => ({ type: 'resize', id: header.number, sizeBytes: header.length }),
  progress: (header) => ({
    type: 'progress',
    id: header.number,
    since: header.length,
    version: header.argument,
    below: header.offset,
  }),
  summary: (header) => ({ type: 'summary', id: header.number, extent: header.offset, extents: header.length }),
  snapshot: (header, chunks) => {
    const { value, problem } = readSnapshot(chunks);
    return problem === null
      ? { type: 'snapshot', id: header.number, snapshot: value, attempt: header.argument }
      : new Violation('body', problem);
  },
  sealed: (_, chunks) => orViolation(readSealed(chunks)),
  refused: (_, chunks) => orViolation(readRefused(chunks)),
  applied: (header) => ({ type: 'applied', sequence: header.number }),
  data: (header, chunks) => ({ type: 'data', id: header.number, chunks, lengthBytes: header.length }),
  done: (header) => ({ type: 'done', id: header.number }),
  digests: (header, chunks) => ({
    type: 'digests',
    id: header.number,
    stamp: header.argument,
    digests: header.flags === 0 ? joined(chunks) : null,
  }),
  summaryDigest: (header, chunks) => ({ type: 'summaryDigest', id: header.number, digest: joined(chunks) }),
  changedSet: (header, chunks) => {
    const extents = readExtentSet(chunks, header.length);
    return extents instanceof Violation ? extents : { type: 'changedSet', id: header.number, extents };
  },
  allocationMap: (header, chunks) => {
    const runs = readAllocationRuns(chunks);
    return runs instanceof Violation ? runs : { type: 'allocationMap', id: header.number, runs };
  },
  pong: (header) => ({ type: 'pong', id: header.number }),
  failed: (_, chunks) => {
    const { value, problem } = readMessage(chunks, 'failed');
    return problem === null ? { type: 'failed', message: value } : new Violation('body', problem);
  },
  unable: (header, chunks) => {
    const { value, problem } = readMessage(chunks, 'unable');
    return problem === null ? { type: 'unable', id: header.number, message: value } : new Violation('body', problem);
  },
};

/** By code. */
export const DECODE_OF: readonly (Decode | undefined)[] = Array.from({ length: 256 }, (_, code) => {
  const kind = FRAME_KINDS.find((each) => each.code === code);
  return kind && DECODE[kind.name];
});

function orViolation<Value>({ value, problem }: Parsed<Value>): Value | Violation {
  return problem === null ? value : new Violation('body', problem);
}

/** A Seal must be of one piece: the epoch and the instance that it opens the session for are those that its config gives the volume to. */
function decodeSeal(header: FrameHeader, chunks: Buffer[]): Message | Violation {
  const { value, problem } = readSeal(chunks);
  if (problem !== null) return new Violation('body', problem);
  const { volume, replica, config } = value;
  const { epoch } = header;
  const instance = instanceOf(header.instance);
  if (config.uid !== volume) return new Violation('body', `a Seal of volume ${volume} with the config of ${config.uid}`);
  if (config.epoch !== epoch) return new Violation('epoch', `a Seal of epoch ${epoch} with a config of epoch ${config.epoch}`);
  if (config.primary?.instance !== instance) {
    return new Violation('instance', `a Seal of instance ${instance} with a config of primary ${config.primary?.instance ?? 'nobody'}`);
  }
  return { type: 'seal', volume, replica, epoch, instance, config };
}
