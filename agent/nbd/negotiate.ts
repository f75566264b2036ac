/**
 * The option phase as a pure function: what was agreed so far and one option in, what is agreed now, the replies and how to go on out.
 * Must never send, and must never trust a length inside an option.
 */
import type { LongOption, Option } from './decode.ts';
import { encodeExportReply, encodeOptionReply, writeU64 } from './encode.ts';
import { FieldReader } from './fieldReader.ts';
import { INFO_TYPE, OPTION_REPLY_TYPE, OPTION_TYPE, TRANSMISSION_FLAG } from './layout.ts';
import { BLOCK_SIZE_MIN, BLOCK_SIZE_PREFERRED, OPTIONS_MAX, REQUEST_BYTES_MAX } from './limits.ts';
import type { ConnectionRule } from './rules.ts';

/** What a client may be told of the volume; fixed for the life of its connection. */
export type Export = { readonly name: string; readonly uid: string; readonly description: string; readonly sizeBytes: number };

export type Negotiation = {
  readonly padded: boolean;
  readonly structuredReplies: boolean;
  readonly allocationContext: boolean;
  /** The client named the export that grows: it is told GROWING_SIZE_BYTES, and what is there at each moment decides. */
  readonly grows: boolean;
  /** How many options there were. */
  readonly options: number;
};

export type Step = {
  readonly negotiation: Negotiation;
  readonly replies: Buffer[];
  /** `transmission`: requests follow. `end`: the client is done, or has broken `rule`. */
  readonly next: 'option' | 'transmission' | 'end';
  readonly rule?: ConnectionRule;
};

export const ALLOCATION_CONTEXT = 'base:allocation';
export const ALLOCATION_CONTEXT_ID = 1;

const NO_DATA = Buffer.alloc(0);

export const startNegotiation = (padded: boolean): Negotiation => ({
  padded,
  structuredReplies: false,
  allocationContext: false,
  grows: false,
  options: 0,
});

export function negotiate(before: Negotiation, message: Option | LongOption, volume: Export): Step {
  const negotiation = { ...before, options: before.options + 1 };
  if (negotiation.options > OPTIONS_MAX) return { negotiation, replies: [], next: 'end', rule: 'optionsMax' };
  if (message.kind === 'longOption') return refuseLong(negotiation, message.option);
  const { option, data } = message;
  switch (option) {
    case OPTION_TYPE.exportName:
      return exportName(negotiation, data, volume);
    case OPTION_TYPE.abort:
      return { negotiation, replies: [ack(option)], next: 'end' };
    case OPTION_TYPE.list:
      return data.length > 0 ? invalid(negotiation, option, 'LIST takes no data') : reply(negotiation, listEntry(volume), ack(option));
    case OPTION_TYPE.startTls:
      return reply(negotiation, refusal(option, OPTION_REPLY_TYPE.errorPolicy, 'this is a local socket, without TLS'));
    case OPTION_TYPE.info:
    case OPTION_TYPE.go:
      return information(negotiation, option, data, volume);
    case OPTION_TYPE.structuredReply:
      if (data.length > 0) return invalid(negotiation, option, 'STRUCTURED_REPLY takes no data');
      return reply({ ...negotiation, structuredReplies: true }, ack(option));
    case OPTION_TYPE.listMetaContext:
    case OPTION_TYPE.setMetaContext:
      return metaContext(negotiation, option, data, volume);
    default:
      return reply(negotiation, refusal(option, OPTION_REPLY_TYPE.errorUnsupported, `option ${option} is not known here`));
  }
}

export function transmissionFlags(negotiation: Negotiation): number {
  const flags = TRANSMISSION_FLAG;
  // Several connections are safe: a flush on one covers what any of them was told is written, because the volume flushes as a whole.
  const always =
    flags.hasFlags |
    flags.sendFlush |
    flags.sendFua |
    flags.sendTrim |
    flags.sendWriteZeroes |
    flags.canMultiConnection |
    flags.sendCache |
    flags.sendFastZero;
  return negotiation.structuredReplies ? always | flags.sendDontFragment : always;
}

const reply = (negotiation: Negotiation, ...replies: Buffer[]): Step => ({ negotiation, replies, next: 'option' });
const ack = (option: number): Buffer => encodeOptionReply(option, OPTION_REPLY_TYPE.ack, NO_DATA);
const refusal = (option: number, type: number, sentence: string): Buffer => encodeOptionReply(option, type, Buffer.from(sentence));
const invalid = (negotiation: Negotiation, option: number, sentence: string): Step =>
  reply(negotiation, refusal(option, OPTION_REPLY_TYPE.errorInvalid, sentence));
const unknownExport = (negotiation: Negotiation, option: number, volume: Export): Step =>
  reply(negotiation, refusal(option, OPTION_REPLY_TYPE.errorUnknown, `this socket serves only ${volume.name}`));

/**
 * After a volume's name or uid: for clients that cannot be told of a new size, such as a FUSE file under a loop device, which has a limit of its own that can change.
 * NBD has no message for it.
 */
export const GROWING_SUFFIX = '@growing';
/** What such a client is told: as large as any volume may be (crds/volume.yaml). */
export const GROWING_SIZE_BYTES = 16 * 1024 ** 4;

/** For a client that goes on over many connections: a volume that was made anew under the same name refuses it, and never gets what was meant for the other. */
export const growingExportOf = (uid: string): string => `${uid}${GROWING_SUFFIX}`;

const isVolume = (name: string, volume: Export): boolean => name === volume.name || name === volume.uid;
/** The volume's name, its uid, or the empty one, which the protocol has for "the only one". */
const isExport = (name: string, volume: Export): boolean => name === '' || isVolume(name, volume) || grows(name, volume);
const grows = (name: string, volume: Export): boolean =>
  name.endsWith(GROWING_SUFFIX) && isVolume(name.slice(0, -GROWING_SUFFIX.length), volume);
const toldBytes = (name: string, volume: Export): number => (grows(name, volume) ? GROWING_SIZE_BYTES : volume.sizeBytes);

function refuseLong(negotiation: Negotiation, option: number): Step {
  // EXPORT_NAME has no error reply.
  if (option === OPTION_TYPE.exportName) return { negotiation, replies: [], next: 'end', rule: 'exportName' };
  const forgotten = option === OPTION_TYPE.setMetaContext ? { ...negotiation, allocationContext: false } : negotiation;
  return reply(forgotten, refusal(option, OPTION_REPLY_TYPE.errorTooBig, 'the option is longer than any valid one'));
}

function exportName(negotiation: Negotiation, data: Buffer, volume: Export): Step {
  const name = data.toString();
  if (!isExport(name, volume)) return { negotiation, replies: [], next: 'end', rule: 'exportName' };
  const answer = encodeExportReply(toldBytes(name, volume), transmissionFlags(negotiation), negotiation.padded);
  return { negotiation: { ...negotiation, grows: grows(name, volume) }, replies: [answer], next: 'transmission' };
}

function listEntry(volume: Export): Buffer {
  const name = Buffer.from(volume.name);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(name.length);
  return encodeOptionReply(OPTION_TYPE.list, OPTION_REPLY_TYPE.server, Buffer.concat([length, name, Buffer.from(volume.description)]));
}

function information(negotiation: Negotiation, option: number, data: Buffer, volume: Export): Step {
  const fields = new FieldReader(data);
  const name = fields.string();
  const wanted = new Set<number>();
  const count = fields.u16();
  for (let index = 0; index < count && fields.sound; index++) wanted.add(fields.u16());
  if (!fields.complete) return invalid(negotiation, option, 'the lengths inside the option do not add up');
  if (!isExport(name, volume)) return unknownExport(negotiation, option, volume);
  const information: Buffer[] = [exportInformation(negotiation, toldBytes(name, volume))];
  if (wanted.has(INFO_TYPE.name)) information.push(textInformation(INFO_TYPE.name, volume.name));
  if (wanted.has(INFO_TYPE.description)) information.push(textInformation(INFO_TYPE.description, volume.description));
  if (wanted.has(INFO_TYPE.blockSize)) information.push(blockSizeInformation());
  const replies = information.map((item) => encodeOptionReply(option, OPTION_REPLY_TYPE.info, item));
  if (option === OPTION_TYPE.info) return reply(negotiation, ...replies, ack(option));
  return { negotiation: { ...negotiation, grows: grows(name, volume) }, replies: [...replies, ack(option)], next: 'transmission' };
}

function exportInformation(negotiation: Negotiation, sizeBytes: number): Buffer {
  const item = Buffer.alloc(12);
  item.writeUInt16BE(INFO_TYPE.export, 0);
  writeU64(item, sizeBytes, 2);
  item.writeUInt16BE(transmissionFlags(negotiation), 10);
  return item;
}

function textInformation(type: number, text: string): Buffer {
  const item = Buffer.alloc(2 + Buffer.byteLength(text));
  item.writeUInt16BE(type, 0);
  item.write(text, 2);
  return item;
}

function blockSizeInformation(): Buffer {
  const item = Buffer.alloc(14);
  item.writeUInt16BE(INFO_TYPE.blockSize, 0);
  item.writeUInt32BE(BLOCK_SIZE_MIN, 2);
  item.writeUInt32BE(BLOCK_SIZE_PREFERRED, 6);
  item.writeUInt32BE(REQUEST_BYTES_MAX, 10);
  return item;
}

function metaContext(before: Negotiation, option: number, data: Buffer, volume: Export): Step {
  const selects = option === OPTION_TYPE.setMetaContext;
  // What was selected before is replaced also by a selection that fails.
  const negotiation = selects ? { ...before, allocationContext: false } : before;
  if (!negotiation.structuredReplies) return invalid(negotiation, option, 'metadata contexts need structured replies first');
  const fields = new FieldReader(data);
  const name = fields.string();
  const queries: string[] = [];
  const count = fields.u32();
  for (let index = 0; index < count && fields.sound; index++) queries.push(fields.string());
  if (!fields.complete) return invalid(negotiation, option, 'the lengths inside the option do not add up');
  if (!isExport(name, volume)) return unknownExport(negotiation, option, volume);
  if (queries.some((query) => !query.includes(':'))) return invalid(negotiation, option, 'a query must begin with a namespace and a colon');
  const matches = queries.includes(ALLOCATION_CONTEXT) || (!selects && (queries.length === 0 || queries.includes('base:')));
  if (!matches) return reply(negotiation, ack(option));
  const found = contextReply(option, selects ? ALLOCATION_CONTEXT_ID : 0);
  return reply({ ...negotiation, allocationContext: selects || negotiation.allocationContext }, found, ack(option));
}

function contextReply(option: number, contextId: number): Buffer {
  const item = Buffer.alloc(4 + ALLOCATION_CONTEXT.length);
  item.writeUInt32BE(contextId, 0);
  item.write(ALLOCATION_CONTEXT, 4);
  return encodeOptionReply(option, OPTION_REPLY_TYPE.metaContext, item);
}
