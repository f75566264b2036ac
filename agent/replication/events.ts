/** What the replication port tells for logs and counters. Interfaces only. */
import type { WireRule } from '../../core/wire/rules.ts';

/** What a peer did, as a short name for a counter. */
export type ConnectionRule =
  | WireRule
  /** No certificate, one of another authority, or another protocol than TLS 1.3. */
  | 'handshake'
  /** It proved to be somebody else than it should be. */
  | 'peer'
  /** The config in force names another as primary, or that Seal's epoch has not begun. */
  | 'appointment'
  /** Whom the leader appointed could not be found out in time. */
  | 'appointmentUnknown'
  | 'sealTimeout'
  | 'connectionsMax'
  | 'unsentBytesMax';

export type Refusal = { readonly peer: string; readonly rule: ConnectionRule; readonly message: string };

/** Called synchronously on the data path: must be quick and must not throw. */
export interface ReplicationEvents {
  /** A peer broke a rule: its connection closes, nothing of what broke it was done. */
  connectionRefused(refusal: Refusal): void;
  /** A session's Seal was heard, from a peer who may send it. */
  connectionOpened(peer: string): void;
  /** One that was opened. */
  connectionClosed(peer: string, reason: string): void;
  /** The port takes no connection for the moment; those that stand live on. */
  acceptFailed(error: Error): void;
}
