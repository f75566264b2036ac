/**
 * The NBD protocol from the client's side, written a second time from its text and sharing nothing with the server: builds what a client sends,
 * builds what it must get, takes a server's bytes apart.
 */

type Field = readonly ['u16' | 'u32' | 'u64', number | bigint] | Uint8Array | string;

/** Fields behind one another, big-endian; strings as UTF-8. */
export function wire(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === 'string') return Buffer.from(field);
      if (field instanceof Uint8Array) return Buffer.from(field);
      const [width, value] = field;
      const view = new DataView(new ArrayBuffer(Number(width.slice(1)) / 8));
      if (width === 'u16') view.setUint16(0, Number(value));
      else if (width === 'u32') view.setUint32(0, Number(value));
      else view.setBigUint64(0, BigInt(value));
      return Buffer.from(view.buffer);
    }),
  );
}

export const u16 = (value: number): Field => ['u16', value];
export const u32 = (value: number): Field => ['u32', value];
export const u64 = (value: number | bigint): Field => ['u64', value];
export const sized = (text: string): Buffer => wire(u32(Buffer.byteLength(text)), text);

export const GREETING = Buffer.from('4e42444d41474943' + '49484156454f5054' + '0003', 'hex');

export const FIXED_NEWSTYLE = 1;
export const NO_ZEROES = 2;
export const clientFlags = (flags = FIXED_NEWSTYLE | NO_ZEROES): Buffer => wire(u32(flags));

export const option = (number: number, data: Uint8Array = Buffer.alloc(0)): Buffer => wire('IHAVEOPT', u32(number), u32(data.length), data);
export const exportNameOption = (name: string): Buffer => option(1, Buffer.from(name));
export const abortOption = (): Buffer => option(2);
export const listOption = (): Buffer => option(3);
export const startTlsOption = (): Buffer => option(5);
export const informationData = (name: string, wanted: readonly number[]): Buffer =>
  wire(sized(name), u16(wanted.length), ...wanted.map(u16));
export const infoOption = (name: string, ...wanted: number[]): Buffer => option(6, informationData(name, wanted));
export const goOption = (name: string, ...wanted: number[]): Buffer => option(7, informationData(name, wanted));
export const structuredReplyOption = (): Buffer => option(8);
export const contextData = (name: string, queries: readonly string[]): Buffer =>
  wire(sized(name), u32(queries.length), ...queries.map(sized));
export const listContextOption = (name: string, ...queries: string[]): Buffer => option(9, contextData(name, queries));
export const setContextOption = (name: string, ...queries: string[]): Buffer => option(10, contextData(name, queries));

export const optionReply = (number: number, type: number, data: Uint8Array = Buffer.alloc(0)): Buffer =>
  wire(u64(0x3e889045565a9n), u32(number), u32(type), u32(data.length), data);
export const ACK = 1;
export const SERVER = 2;
export const INFO = 3;
export const META_CONTEXT = 4;
export const ERR_UNSUP = 0x80000001;
export const ERR_POLICY = 0x80000002;
export const ERR_INVALID = 0x80000003;
export const ERR_UNKNOWN = 0x80000006;
export const ERR_TOO_BIG = 0x80000009;

export const READ = 0;
export const WRITE = 1;
export const DISC = 2;
export const FLUSH = 3;
export const TRIM = 4;
export const CACHE = 5;
export const WRITE_ZEROES = 6;
export const BLOCK_STATUS = 7;
export const FUA = 1;
export const NO_HOLE = 2;
export const DF = 4;
export const REQ_ONE = 8;
export const FAST_ZERO = 16;

export const EIO = 5;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EOVERFLOW = 75;
export const ENOTSUP = 95;

export type RequestFields = {
  type: number;
  cookie: number | bigint;
  offset?: number | bigint;
  length?: number;
  flags?: number;
  payload?: Uint8Array;
};

export const request = (fields: RequestFields): Buffer =>
  wire(
    u32(0x25609513),
    u16(fields.flags ?? 0),
    u16(fields.type),
    u64(fields.cookie),
    u64(fields.offset ?? 0),
    u32(fields.length ?? fields.payload?.length ?? 0),
    fields.payload ?? Buffer.alloc(0),
  );

export const simpleReply = (cookie: number | bigint, error = 0, data: Uint8Array = Buffer.alloc(0)): Buffer =>
  wire(u32(0x67446698), u32(error), u64(cookie), data);

const structuredChunk = (cookie: number | bigint, type: number, body: Uint8Array): Buffer =>
  wire(u32(0x668e33ef), u16(1), u16(type), u64(cookie), u32(body.length), body);
export const dataChunk = (cookie: number | bigint, offset: number, data: Uint8Array): Buffer =>
  structuredChunk(cookie, 1, wire(u64(offset), data));
export const statusChunk = (cookie: number | bigint, context: number, ...descriptors: (readonly [number, number])[]): Buffer =>
  structuredChunk(cookie, 5, wire(u32(context), ...descriptors.flatMap(([length, flags]) => [u32(length), u32(flags)])));
export const errorChunk = (cookie: number | bigint, error: number, message: string): Buffer =>
  structuredChunk(cookie, 0x8001, wire(u32(error), u16(Buffer.byteLength(message)), message));

export type Reply = {
  cookie: bigint;
  error: number;
  message: string;
  data: Buffer | null;
  descriptors: [number, number][];
};

/** Replies of a transmission phase with structured replies; throws where the server broke the protocol. The rest of a cut reply is ignored. */
export function parseStructured(bytes: Buffer): Reply[] {
  const replies: Reply[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const magic = bytes.readUInt32BE(at);
    if (magic === 0x67446698) {
      replies.push({ cookie: bytes.readBigUInt64BE(at + 8), error: bytes.readUInt32BE(at + 4), message: '', data: null, descriptors: [] });
      at += 16;
      continue;
    }
    if (magic !== 0x668e33ef) throw new Error(`no reply begins with ${magic.toString(16)} (byte ${at})`);
    if (at + 20 > bytes.length) break;
    const length = bytes.readUInt32BE(at + 16);
    if (at + 20 + length > bytes.length) break;
    if (bytes.readUInt16BE(at + 4) !== 1) throw new Error('a chunk of ours is the only one and says DONE');
    replies.push(parseChunk(bytes.readUInt16BE(at + 6), bytes.readBigUInt64BE(at + 8), bytes.subarray(at + 20, at + 20 + length)));
    at += 20 + length;
  }
  return replies;
}

function parseChunk(type: number, cookie: bigint, body: Buffer): Reply {
  const reply: Reply = { cookie, error: 0, message: '', data: null, descriptors: [] };
  if (type === 1) return { ...reply, data: body.subarray(8) };
  if (type === 5) {
    for (let at = 4; at < body.length; at += 8) reply.descriptors.push([body.readUInt32BE(at), body.readUInt32BE(at + 4)]);
    return reply;
  }
  if (type !== 0x8001) throw new Error(`a chunk of type ${type}`);
  const messageLength = body.readUInt16BE(4);
  if (6 + messageLength !== body.length) throw new Error('an error chunk whose lengths do not add up');
  return { ...reply, error: body.readUInt32BE(0), message: body.toString('utf8', 6) };
}

/** Replies of a transmission phase without them; which of them carry data only the client's own requests can tell. */
export function parseSimple(bytes: Buffer, readLengths: ReadonlyMap<bigint, number>): Reply[] {
  const replies: Reply[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    if (bytes.readUInt32BE(at) !== 0x67446698) throw new Error(`no simple reply at byte ${at}`);
    const error = bytes.readUInt32BE(at + 4);
    const cookie = bytes.readBigUInt64BE(at + 8);
    const length = error === 0 ? (readLengths.get(cookie) ?? 0) : 0;
    at += 16;
    if (at + length > bytes.length) break;
    replies.push({ cookie, error, message: '', data: length > 0 ? bytes.subarray(at, at + length) : null, descriptors: [] });
    at += length;
  }
  return replies;
}
