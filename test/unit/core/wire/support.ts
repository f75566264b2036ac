/** What the wire's tests share: bytes pushed into a decoder in given pieces, and messages made comparable. */

import { decoderFromReplica, decoderToReplica, type FrameDecoder } from '../../../../core/wire/decode.ts';
import type { Message } from '../../../../core/wire/layout.ts';
import type { Violation } from '../../../../core/wire/rules.ts';
import { SESSION } from './samples.ts';

export type Heard = { readonly messages: Message[]; readonly violation: Violation | null };

export type DirectionName = 'toReplica' | 'fromReplica';

/** Pushes the pieces one by one into a fresh decoder. */
export function hear(direction: DirectionName, pieces: readonly Buffer[]): Heard {
  const messages: Message[] = [];
  const hand = (message: Message): void => {
    messages.push(message);
  };
  const decoder: FrameDecoder<never> | FrameDecoder<Message> = (
    direction === 'toReplica' ? decoderToReplica(hand) : decoderFromReplica(SESSION, hand)
  ) as FrameDecoder<Message>;
  let violation: Violation | null = null;
  for (const piece of pieces) violation = decoder.push(piece);
  return { messages, violation };
}

const isBuffers = (value: unknown): value is Buffer[] => Array.isArray(value) && value.length > 0 && value.every(Buffer.isBuffer);

/** How a payload was cut is nobody's business: chunks are compared as the bytes that they are together. */
export function comparable(message: Message): unknown {
  const plain = (value: unknown): unknown => {
    if (isBuffers(value)) return `bytes ${Buffer.concat(value).toString('hex')}`;
    if (Buffer.isBuffer(value)) return `bytes ${value.toString('hex')}`;
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  };
  if (message.type !== 'changedSet') return plain(message);
  const { extents } = message;
  return { ...message, extents: { extents: extents.extents, size: extents.size, members: [...extents] } };
}
