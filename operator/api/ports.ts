/** What the REST API needs of the world outside, as narrow interfaces, and what its operations are handed. */
import type { Clock } from '../../core/clock.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import type { Store } from '../../core/store.ts';
import type { Trace } from '../../core/trace.ts';
import type { Timers, WatchEvent } from '../ports.ts';

export type KubeRequest = {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  /** Of a PATCH: a merge patch. */
  body?: unknown;
};
export type KubeAnswer = { status: number; body: unknown };

/** The API server, asked with somebody's own token, so that it judges, admits and audits that person and not the operator. */
export interface KubeCalls {
  /** `token` null: as the operator. Rejects with OperatingError Unavailable when there is no answer; whatever is answered is a result. */
  call(token: string | null, request: KubeRequest, signal: AbortSignal): Promise<KubeAnswer>;
  /** Resolves when the server or `signal` ends it, or `onEvent` says that it has seen enough; rejects as `call` does, and with HttpError when refused. */
  watch(token: string, path: string, onEvent: (event: WatchEvent) => 'more' | 'enough', signal: AbortSignal): Promise<void>;
}

/** Who asks, as the API server knows them. */
export type Caller = {
  token: string;
  user: string;
  uid: string;
  groups: readonly string[];
  extra: Readonly<Record<string, readonly string[]>>;
};

export type Parameters = Readonly<Record<string, string | number | boolean | undefined>>;

/** A request whose parameters and body are of the form that its route says. */
export type ApiRequest = {
  parameters: Parameters;
  body: unknown;
  /** The version that a change shall be based on: from If-Match. */
  ifMatch: string | null;
  caller: Caller;
  trace: Trace;
  /** Aborted when the time is over or nobody waits for the answer any more. */
  signal: AbortSignal;
};

export type ApiAnswer = { status: number; body?: unknown; version?: string };
export type Operation = (request: ApiRequest) => Promise<ApiAnswer>;

export type ApiPorts = { kube: KubeCalls; store: Store; keys: Keys; clock: Clock; timers: Timers; log: Log };

/** Of a request that was parsed: absent is undefined. */
export const textOf = (parameters: Parameters, name: string): string | undefined => {
  const value = parameters[name];
  return typeof value === 'string' ? value : undefined;
};
export const numberOf = (parameters: Parameters, name: string): number | undefined => {
  const value = parameters[name];
  return typeof value === 'number' ? value : undefined;
};
