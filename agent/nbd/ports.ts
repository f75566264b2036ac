/** What a session needs from outside and tells it. Behind each may be a socket or the simulator; nothing here does anything. */

import type { NbdError } from './layout.ts';
import type { CommandKind } from './request.ts';
import type { ConnectionRule, RequestRule } from './rules.ts';

/** The bytes' way to one client. After `pause()` returned, no chunk is given to the session until `resume()`. */
export interface NbdConnection {
  /** Sends the chunks in order, with one system call where possible; false: so much is unsent that the session must wait for `drained()`.
   * `sent` is called when none of these bytes is needed any more; never, if the connection breaks. */
  write(chunks: Buffer[], sent: (() => void) | null): boolean;
  /** The kernel has all that was written: none of those bytes is needed any more. */
  readonly isSent: boolean;
  pause(): void;
  resume(): void;
  /** No more will be written; what was, is still sent. */
  end(): void;
  /** Nothing more is sent, not even what was written. */
  destroy(): void;
}

/** For counters, histograms and logs. Called synchronously on the data path: must be quick and must not throw. */
export interface NbdEvents {
  /** A request was answered. `lengthBytes` is the request's range, also of one that failed. */
  requestCompleted(kind: CommandKind, lengthBytes: number, durationMs: number, error: NbdError): void;
  /** A request broke a rule; it was answered with an error and never reached the device. */
  requestRefused(rule: RequestRule): void;
  /** A connection broke a rule and is closed for it. */
  connectionRefused(rule: ConnectionRule): void;
  /** The listener could not take a connection (out of file descriptors, say); it goes on listening. */
  acceptFailed(error: Error): void;
  connectionOpened(): void;
  connectionClosed(): void;
}
