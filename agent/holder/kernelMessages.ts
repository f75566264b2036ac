/** What the kernel's nbd is told and tells, as <linux/nbd-netlink.h> has it. Pure. */
import { type Attributes, encodeRequest, type Family, nested, numberIn, text, u32, u64 } from './netlink.ts';

export const NBD_FAMILY = 'nbd';
/** Who is told that a connection has died. */
export const NBD_GROUP = 'nbd_mc_group';
const VERSION = 1;
const COMMAND = { connect: 1, disconnect: 2, reconfigure: 3, linkDead: 4 } as const;
const ATTRIBUTE = {
  index: 1,
  sizeBytes: 2,
  blockSizeBytes: 3,
  timeoutSeconds: 4,
  serverFlags: 5,
  sockets: 7,
  deadConnectionSeconds: 8,
  backend: 10,
} as const;
const SOCKET = { item: 1, descriptor: 1 } as const;
/** Among NBD's transmission flags; ours are never read-only by themselves. */
const READ_ONLY = 1 << 1;

/**
 * What file systems may count on. One that was made over blocks of 4096 could not be mounted where a node has the other way, whose loop devices have 512, nor
 * XFS of there here.
 */
const BLOCK_SIZE_BYTES = 512;

export type Connect = {
  sizeBytes: number;
  /** As the server told them. */
  flags: number;
  readonly: boolean;
  deadConnectionSeconds: number;
  /** Whose it is: shown in sysfs, and asked for by the kernel with each change. */
  backend: string;
  descriptor: number;
};

export type Change = { sizeBytes?: number; timeoutSeconds?: number; deadConnectionSeconds?: number; descriptor?: number };

const socket = (descriptor: number): Buffer => nested(ATTRIBUTE.sockets, nested(SOCKET.item, u32(SOCKET.descriptor, descriptor)));

/** Without an index: the kernel takes one that nobody has. */
export function encodeConnect({ id }: Family, sequence: number, wanted: Connect): Buffer {
  return encodeRequest(id, sequence, COMMAND.connect, VERSION, [
    u64(ATTRIBUTE.sizeBytes, wanted.sizeBytes),
    u64(ATTRIBUTE.blockSizeBytes, BLOCK_SIZE_BYTES),
    // Never: a connection is given up by the server alone. What lies unread in one that we gave up could still be done, after what was sent again.
    u64(ATTRIBUTE.timeoutSeconds, 0),
    u64(ATTRIBUTE.deadConnectionSeconds, wanted.deadConnectionSeconds),
    u64(ATTRIBUTE.serverFlags, wanted.readonly ? wanted.flags | READ_ONLY : wanted.flags),
    text(ATTRIBUTE.backend, wanted.backend),
    socket(wanted.descriptor),
  ]);
}

export function encodeReconfigure({ id }: Family, sequence: number, index: number, backend: string, change: Change): Buffer {
  const { sizeBytes, timeoutSeconds, deadConnectionSeconds, descriptor } = change;
  return encodeRequest(id, sequence, COMMAND.reconfigure, VERSION, [
    u32(ATTRIBUTE.index, index),
    text(ATTRIBUTE.backend, backend),
    ...(sizeBytes === undefined ? [] : [u64(ATTRIBUTE.sizeBytes, sizeBytes), u64(ATTRIBUTE.blockSizeBytes, BLOCK_SIZE_BYTES)]),
    ...(timeoutSeconds === undefined ? [] : [u64(ATTRIBUTE.timeoutSeconds, timeoutSeconds)]),
    ...(deadConnectionSeconds === undefined ? [] : [u64(ATTRIBUTE.deadConnectionSeconds, deadConnectionSeconds)]),
    ...(descriptor === undefined ? [] : [socket(descriptor)]),
  ]);
}

export const encodeDisconnect = ({ id }: Family, sequence: number, index: number): Buffer =>
  encodeRequest(id, sequence, COMMAND.disconnect, VERSION, [u32(ATTRIBUTE.index, index)]);

/** Of the answer to `connect`. */
export const indexIn = (attributes: Attributes): number => numberIn(attributes, ATTRIBUTE.index);

/** The device whose connection has died; null: another message. */
export const deadIndexIn = ({ command, attributes }: { command: number; attributes: Attributes }): number | null =>
  command === COMMAND.linkDead ? indexIn(attributes) : null;
