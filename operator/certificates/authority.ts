/**
 * The authority of a cluster, as its Secret holds it, and what is to be done about it: a pure function of what is there and of now. Must never let an authority
 * issue that not everybody trusts yet, nor one leave the trust whose certificates may still live.
 *
 * one --two thirds of its life are over, or asked--> two (next is trusted) --spread--> next issues (previous is trusted) --its longest leaf has ended--> one
 */
import { certificatesIn, hasEnded, isDue, type Pair } from '../../edge/issuing.ts';

export type AuthorityRecord = {
  readonly current: Pair;
  /** Trusted, and not issuing yet. */
  readonly next: (Pair & { readonly sinceMs: number }) | null;
  /** Trusted until then, and not issuing any more: its key is gone. */
  readonly previous: { readonly certificate: string; readonly untilMs: number } | null;
};

export type AuthorityTimes = { readonly leafMs: number; readonly spreadMs: number };

export type Seen = {
  readonly nowMs: number;
  /** Somebody wants a new one, whatever the age of this one. */
  readonly isAsked: boolean;
  /** Whoever reads whom it trusts only at its start has started since the trust last changed. */
  readonly isTrustTaken: boolean;
};

export type AuthorityStep = 'announce' | 'promote' | 'forget' | null;

export function stepOf(
  record: AuthorityRecord,
  { leafMs, spreadMs }: AuthorityTimes,
  { nowMs, isAsked, isTrustTaken }: Seen,
): AuthorityStep {
  const { current, next, previous } = record;
  if (next !== null) return nowMs >= next.sinceMs + spreadMs && isTrustTaken ? 'promote' : null;
  if (previous !== null) return nowMs >= previous.untilMs + Math.min(spreadMs, leafMs) ? 'forget' : null;
  return isAsked || isDue(current.certificate, nowMs) ? 'announce' : null;
}

export const announce = (record: AuthorityRecord, made: Pair, nowMs: number): AuthorityRecord => ({
  ...record,
  next: { ...made, sinceMs: nowMs },
});

/** The last leaf of the old one was issued a moment ago, by somebody who had not seen this yet: its whole life is waited for. */
export function promote(record: AuthorityRecord, { leafMs }: AuthorityTimes, nowMs: number): AuthorityRecord {
  const { current, next } = record;
  if (next === null) return record;
  const { certificate, key } = next;
  return { current: { certificate, key }, next: null, previous: { certificate: current.certificate, untilMs: nowMs + leafMs } };
}

export const forget = (record: AuthorityRecord): AuthorityRecord => ({ ...record, previous: null });

/** Whom everybody trusts: the one that issues first. */
export const trustOf = ({ current, next, previous }: AuthorityRecord): string =>
  [current.certificate, next?.certificate ?? '', previous?.certificate ?? ''].join('');

/** Of an authority that others keep: theirs first, behind it what was trusted before and lives still. They do not say when they change it. */
export function trustBeside(current: string, before: string, nowMs: number): string {
  const kept = certificatesIn(before).filter((one) => !certificatesIn(current).includes(one) && !hasEnded(one, nowMs));
  return [...certificatesIn(current), ...kept.slice(0, TRUSTED_BEFORE_MAX)].join('');
}

/** More than ever live at once, unless somebody changes the authority by the hour. */
const TRUSTED_BEFORE_MAX = 4;
const KEYS = ['tls.crt', 'tls.key', 'next.crt', 'next.key', 'next.since', 'previous.crt', 'previous.until'] as const;
type Data = Partial<Record<(typeof KEYS)[number], string>>;

const encode = (text: string): string => Buffer.from(text).toString('base64');
const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString();
const timeOf = (text: string | undefined): number => Date.parse(decode(text));

/** Null: it holds none. What is half there is not there: all of it is written at once. */
export function readRecord(data: Data | undefined): AuthorityRecord | null {
  const [certificate, key] = [decode(data?.['tls.crt']), decode(data?.['tls.key'])];
  if (certificate === '' || key === '') return null;
  const next = { certificate: decode(data?.['next.crt']), key: decode(data?.['next.key']), sinceMs: timeOf(data?.['next.since']) };
  const previous = { certificate: decode(data?.['previous.crt']), untilMs: timeOf(data?.['previous.until']) };
  return {
    current: { certificate, key },
    next: next.certificate === '' || next.key === '' || Number.isNaN(next.sinceMs) ? null : next,
    previous: previous.certificate === '' || Number.isNaN(previous.untilMs) ? null : previous,
  };
}

export function writeRecord({ current, next, previous }: AuthorityRecord): Data {
  const time = (ms: number): string => encode(new Date(ms).toISOString());
  return {
    'tls.crt': encode(current.certificate),
    'tls.key': encode(current.key),
    ...(next === null ? {} : { 'next.crt': encode(next.certificate), 'next.key': encode(next.key), 'next.since': time(next.sinceMs) }),
    ...(previous === null ? {} : { 'previous.crt': encode(previous.certificate), 'previous.until': time(previous.untilMs) }),
  };
}
