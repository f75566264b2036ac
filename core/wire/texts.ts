/**
 * The bodies that are JSON: Seal, Sealed, Refused, failed, snapshot, unable. Rare and read by people in a packet dump; two versions must be able to refuse each other, so the
 * fields of Seal (but for those of its config) and Refused never change.
 */
import { assert } from '../assert.ts';
import type { SnapshotUid } from '../ids.ts';
import { Fields, type Parsed, parsedJson } from '../parse.ts';
import { readReplicaId, readSnapshotUid, readUid, readVolumeConfig } from '../parseConfig.ts';
import { joined } from './chunks.ts';
import { EXTENTS_MAX, JSON_BODY_BYTES_MAX, MESSAGE_CHARACTERS_MAX } from './layout.ts';
import type { FromReplica, RefusalCode, Request, ResyncProgress, Seal } from './messages.ts';

type Of<Type extends FromReplica['type']> = Extract<FromReplica, { type: Type }>;

export const REFUSAL_CODES: readonly RefusalCode[] = ['fenced', 'newerConfig', 'failed', 'unknownReplica', 'protocol'];
/** `refused`, `failed` and `unable` carry sentences from anywhere, also from error messages of the system. */
const cut = (message: string): string => (message === '' ? 'no reason given' : message.slice(0, MESSAGE_CHARACTERS_MAX));

function toBody(value: object): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  assert(body.length <= JSON_BODY_BYTES_MAX, 'a text body is no longer than JSON_BODY_BYTES_MAX');
  return body;
}

export const writeSeal = ({ volume, replica, config }: Seal): Buffer => toBody({ volume, replica, config });
export const writeSealed = ({ suspect, sizeBytes, leaseRemainingMs, resync }: Of<'sealed'>): Buffer =>
  toBody({ suspect, sizeBytes, leaseRemainingMs, resync });
export const writeRefused = ({ code, message, promisedEpoch, seenVersion }: Of<'refused'>): Buffer =>
  toBody({ code, message: cut(message), promisedEpoch, seenVersion });
export const writeSnapshot = ({ snapshot }: Extract<Request, { type: 'snapshot' }>): Buffer => toBody({ snapshot });
export const writeMessage = ({ message }: Of<'failed' | 'unable'>): Buffer => toBody({ message: cut(message) });

// Without `fatal`, broken UTF-8 would be mended in silence and accepted.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function read<Value>(chunks: readonly Buffer[], what: string, value: (input: unknown) => Value): Parsed<Value> {
  let text: string;
  try {
    text = utf8.decode(joined(chunks));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { value: null, problem: `${what} must be UTF-8` };
  }
  return parsedJson(text, what, value);
}

/** What the header has of a Seal is the decoder's to add. */
export const readSeal = (chunks: readonly Buffer[]): Parsed<Pick<Seal, 'volume' | 'replica' | 'config'>> =>
  read(chunks, 'seal', (input) => {
    const fields = new Fields(input, 'seal', ['volume', 'replica', 'config']);
    return {
      volume: readUid(fields, 'volume'),
      replica: readReplicaId(fields, 'replica'),
      config: readVolumeConfig(fields.get('config'), 'seal.config'),
    };
  });

export const readSealed = (chunks: readonly Buffer[]): Parsed<Of<'sealed'>> =>
  read(chunks, 'sealed', (input) => {
    const fields = new Fields(input, 'sealed', ['suspect', 'sizeBytes', 'leaseRemainingMs', 'resync']);
    return {
      type: 'sealed',
      suspect: fields.flag('suspect'),
      sizeBytes: fields.whole('sizeBytes', 0),
      leaseRemainingMs: fields.whole('leaseRemainingMs', 0),
      resync: fields.get('resync') === null ? null : readResync(fields.get('resync'), fields.place('resync')),
    };
  });

export function readResync(input: unknown, where: string): ResyncProgress {
  const fields = new Fields(input, where, ['since', 'version', 'below']);
  return { since: fields.whole('since', 0), version: fields.whole('version', 0), below: fields.whole('below', 0, EXTENTS_MAX) };
}

export const readRefused = (chunks: readonly Buffer[]): Parsed<Of<'refused'>> =>
  read(chunks, 'refused', (input) => {
    const fields = new Fields(input, 'refused', ['code', 'message', 'promisedEpoch', 'seenVersion']);
    return {
      type: 'refused',
      code: fields.oneOf('code', REFUSAL_CODES),
      message: fields.text('message', MESSAGE_CHARACTERS_MAX),
      promisedEpoch: fields.whole('promisedEpoch', 0),
      seenVersion: fields.whole('seenVersion', 0),
    };
  });

export const readMessage = (chunks: readonly Buffer[], what: 'failed' | 'unable'): Parsed<string> =>
  read(chunks, what, (input) => new Fields(input, what, ['message']).text('message', MESSAGE_CHARACTERS_MAX));

export const readSnapshot = (chunks: readonly Buffer[]): Parsed<SnapshotUid> =>
  read(chunks, 'snapshot', (input) => readSnapshotUid(new Fields(input, 'snapshot', ['snapshot']), 'snapshot'));
