/** What a failed call to etcd proves about its outcome, which is all that callers may build on. Pure. */
import { EtcdLeaseInvalidError } from 'etcd3';
import { messageOf } from '../../core/errors.ts';

/**
 * notSent: it never left this process. refused: etcd answered, and did nothing. noAnswer: it may have been done, or may still be done.
 * When in doubt the answer is noAnswer: the other two are believed only where they are proven.
 */
export type FailureKind = 'notSent' | 'refused' | 'noAnswer';
export type Failure = { readonly kind: FailureKind; readonly status: number | null; readonly details: string };

const STATUS_NOT_FOUND = 5;
const STATUS_OUT_OF_RANGE = 11;
const STATUS_UNAVAILABLE = 14;
/** Invalid argument, not found, exists, permission denied, exhausted, failed precondition, out of range, unimplemented, unauthenticated. */
const REFUSALS: ReadonlySet<number> = new Set([3, STATUS_NOT_FOUND, 6, 7, 8, 9, STATUS_OUT_OF_RANGE, 12, 16]);
/** etcd's own words: the same statuses also come from the transport (a window exhausted, a proxy), which proves nothing. */
const SAID_BY_ETCD = 'etcdserver:';
/** The client library's words for a call that waited for a connection in vain. Unknown words only make us more careful. */
const NEVER_SENT = /^(No connection established|Name resolution failed|Channel closed before call started)/;

/** `error` as `endpoints.ts` throws it: the library's own is its cause. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Error && error.cause instanceof EtcdLeaseInvalidError) {
    return { kind: 'refused', status: STATUS_NOT_FOUND, details: `${SAID_BY_ETCD} requested lease not found` };
  }
  const message = messageOf(error);
  const [, statusText, rest] = /^(\d{1,2}) [A-Z_]+: ([\s\S]*)$/.exec(message) ?? [];
  const status = statusText === undefined ? null : Number(statusText);
  const details = rest ?? message;
  return { kind: kindOf(status, details), status, details };
}

function kindOf(status: number | null, details: string): FailureKind {
  if (status === STATUS_UNAVAILABLE && NEVER_SENT.test(details)) return 'notSent';
  return status !== null && REFUSALS.has(status) && details.startsWith(SAID_BY_ETCD) ? 'refused' : 'noAnswer';
}

export const isCompacted = (failure: Failure): boolean => failure.kind === 'refused' && failure.status === STATUS_OUT_OF_RANGE;

export const isLeaseGone = (failure: Failure): boolean =>
  failure.kind === 'refused' && failure.status === STATUS_NOT_FOUND && failure.details.includes('lease');

/** An account was changed while the call was under way: etcd did nothing, and knows the rights of now at the next. */
export const isRightsChanged = (failure: Failure): boolean =>
  failure.kind === 'refused' && failure.details.includes('revision of auth store is old');

const STATUS_PERMISSION_DENIED = 7;
/** This program's name has no account, or not this right. */
export const isDenied = (failure: Failure): boolean => failure.kind === 'refused' && failure.status === STATUS_PERMISSION_DENIED;
