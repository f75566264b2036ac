/**
 * What a block holds: a mark that names the block and the write, over and over. Must never take a block apart for whole, nor another block's content,
 * another run's, or one of two writes, for a value.
 */
export const BLOCK_BYTES = 4096;
const MARK_BYTES = 16;
const SALT_AT = 0;
const BLOCK_AT = 4;
const CLIENT_AT = 8;
const NUMBER_AT = 12;

/** Of a block that nobody has written. */
export const UNWRITTEN = '0';
const ZEROES = Buffer.alloc(BLOCK_BYTES);

/** `salt` is the run's and the volume's; `block` the index on the volume. */
export type BlockName = { salt: number; block: number };

export const valueName = (client: number, number: number): string => `${client}.${number}`;

export function encodeBlock({ salt, block }: BlockName, client: number, number: number): Buffer {
  const mark = Buffer.alloc(MARK_BYTES);
  mark.writeUInt32BE(salt, SALT_AT);
  mark.writeUInt32BE(block, BLOCK_AT);
  mark.writeUInt32BE(client, CLIENT_AT);
  mark.writeUInt32BE(number, NUMBER_AT);
  return Buffer.alloc(BLOCK_BYTES, mark);
}

/** The value, or words that no write ever wrote: the checker finds those by itself. */
export function decodeBlock({ salt, block }: BlockName, content: Buffer): string {
  if (content.equals(ZEROES)) return UNWRITTEN;
  const mark = content.subarray(0, MARK_BYTES);
  const other = content.findLastIndex((byte, index) => byte !== mark[index % MARK_BYTES]);
  if (content.length !== BLOCK_BYTES || other !== -1)
    return `torn at ${other}: ${mark.toString('hex')} ${content.toString('hex', other - (other % MARK_BYTES), other + 1)}`;
  if (mark.readUInt32BE(SALT_AT) !== salt || mark.readUInt32BE(BLOCK_AT) !== block) return `strange: ${mark.toString('hex')}`;
  return valueName(mark.readUInt32BE(CLIENT_AT), mark.readUInt32BE(NUMBER_AT));
}
