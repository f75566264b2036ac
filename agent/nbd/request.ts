/**
 * What a request is and whether it may go to the device: checks in order, each a named rule with the error that the protocol asks for.
 * Pure; must never touch a device.
 */
import { COMMAND, COMMAND_FLAG, NBD_ERROR, type NbdError } from './layout.ts';
import { REQUEST_BYTES_MAX } from './limits.ts';
import type { RequestRule } from './rules.ts';

export type CommandKind = 'read' | 'write' | 'flush' | 'trim' | 'cache' | 'writeZeroes' | 'blockStatus' | 'unknown';

export type Request = {
  readonly kind: 'request';
  readonly flags: number;
  readonly type: number;
  /** Opaque; sent back as it came. */
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** From 64 bits. One beyond 2^53 is inexact but still beyond every volume's end, so the range check refuses it. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
};

/** What the handshake agreed on and every request is checked against. */
export type Agreement = {
  readonly sizeBytes: number;
  readonly structuredReplies: boolean;
  /** base:allocation was selected. */
  readonly allocationContext: boolean;
};

export type Refusal = { readonly rule: RequestRule; readonly error: NbdError };

const KIND: readonly CommandKind[] = ['read', 'write', 'unknown', 'flush', 'trim', 'cache', 'writeZeroes', 'blockStatus'];
export const commandKind = (type: number): CommandKind => KIND[type] ?? 'unknown';

/** FUA goes with every command: existing clients set it on any. */
const FLAGS_ALLOWED: readonly number[] = [
  COMMAND_FLAG.forceUnitAccess | COMMAND_FLAG.dontFragment,
  COMMAND_FLAG.forceUnitAccess,
  0,
  COMMAND_FLAG.forceUnitAccess,
  COMMAND_FLAG.forceUnitAccess,
  COMMAND_FLAG.forceUnitAccess,
  COMMAND_FLAG.forceUnitAccess | COMMAND_FLAG.noHole | COMMAND_FLAG.fastZero,
  COMMAND_FLAG.forceUnitAccess | COMMAND_FLAG.requestOne,
];

const refusal = (rule: RequestRule, error: NbdError = NBD_ERROR.invalid): Refusal => ({ rule, error });

const UNKNOWN_COMMAND = refusal('unknownCommand');
const UNKNOWN_FLAG = refusal('unknownFlag');
const EMPTY_RANGE = refusal('emptyRange');
const READ_BEYOND_END = refusal('beyondEnd');
const WRITE_BEYOND_END = refusal('beyondEnd', NBD_ERROR.noSpace);
const TOO_LONG = refusal('tooLong');
const TOO_LONG_UNFRAGMENTED = refusal('tooLong', NBD_ERROR.overflow);
const FLUSH_RANGE = refusal('flushRange');
const CONTEXT_NOT_SELECTED = refusal('contextNotSelected');
const FAST_ZERO = refusal('fastZero', NBD_ERROR.notSupported);

export const hasFlag = (request: Request, flag: number): boolean => (request.flags & flag) !== 0;

/** Whether the request's range travels as payload, one way or the other, and so is held in memory. */
export const carriesData = (request: Request): boolean => request.type === COMMAND.read || request.type === COMMAND.write;

/** Null: it may go to the device. Not for DISC, which has no reply. */
export function refuse(request: Request, agreement: Agreement): Refusal | null {
  return refuseFlags(request, agreement) ?? (request.type === COMMAND.flush ? refuseFlush(request) : refuseRange(request, agreement));
}

function refuseFlags(request: Request, agreement: Agreement): Refusal | null {
  const allowed = FLAGS_ALLOWED[request.type];
  if (allowed === undefined) return UNKNOWN_COMMAND;
  if ((request.flags & ~allowed) !== 0) return UNKNOWN_FLAG;
  if (hasFlag(request, COMMAND_FLAG.dontFragment) && !agreement.structuredReplies) return UNKNOWN_FLAG;
  if (request.type === COMMAND.blockStatus && !agreement.allocationContext) return CONTEXT_NOT_SELECTED;
  return null;
}

const refuseFlush = (request: Request): Refusal | null => (request.offsetBytes === 0 && request.lengthBytes === 0 ? null : FLUSH_RANGE);

function refuseRange(request: Request, agreement: Agreement): Refusal | null {
  if (request.lengthBytes === 0) return EMPTY_RANGE;
  if (request.lengthBytes > REQUEST_BYTES_MAX && carriesData(request)) {
    return hasFlag(request, COMMAND_FLAG.dontFragment) ? TOO_LONG_UNFRAGMENTED : TOO_LONG;
  }
  const writes = request.type === COMMAND.write || request.type === COMMAND.writeZeroes;
  if (request.offsetBytes > agreement.sizeBytes - request.lengthBytes) return writes ? WRITE_BEYOND_END : READ_BEYOND_END;
  // A zero that may free its range travels as a few bytes; one that may not is written out by every replica.
  const fastAndAllocated = COMMAND_FLAG.fastZero | COMMAND_FLAG.noHole;
  return (request.flags & fastAndAllocated) === fastAndAllocated ? FAST_ZERO : null;
}
