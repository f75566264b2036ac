/**
 * The members of etcd as this process sees them: one connection to each, one of them in use. A member that gives no answer is left for the next.
 * Never decides whether a call may be tried again (`calls.ts` does).
 *
 * The client library's own fault handling is switched off: its circuit breaker turns a second of trouble into five of refusals, and its retries
 * would repeat a commit whose outcome is unknown.
 */
import { Etcd3, type IOptions } from 'etcd3';
import { systemClock } from '../../core/clock.ts';
import type { TlsMaterial } from '../tls.ts';

/** A connection without an answer for so long is thought dead, and made anew before it is used again. */
const SILENCE_MS_MAX = 5_000;
const RECONNECT_MS_MIN = 100;
const RECONNECT_MS_MAX = 1_000;
/** A page of a listing or a batch of a watch; etcd's values are at most 1.5 MiB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export type Connection = { readonly url: string; readonly client: Etcd3; answeredMs: number };

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

/** Hides from the library that a failure is one it would handle. */
class CallError extends Error {
  override readonly name = 'CallError';
}

const noFaultHandling: Policy = {
  _altReturn: undefined as never,
  onSuccess: () => ({ dispose: () => undefined }),
  onFailure: () => ({ dispose: () => undefined }),
  async execute(run, signal) {
    try {
      return await run({ signal: signal ?? new AbortController().signal });
    } catch (error) {
      if (error instanceof CallError) throw error;
      throw new CallError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  },
};

/** Whoever opens one of its own closes it. */
export function openClient(url: string, material: TlsMaterial | null): Etcd3 {
  return new Etcd3({
    hosts: [url],
    ...(material === null ? {} : { credentials: { rootCertificate: material.ca, certChain: material.cert, privateKey: material.key } }),
    faultHandling: { host: () => noFaultHandling, global: noFaultHandling },
    grpcOptions: {
      'grpc.max_receive_message_length': ANSWER_BYTES_MAX,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS_MIN,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MS_MAX,
    },
  });
}

export class Endpoints {
  readonly #material: () => TlsMaterial | null;
  readonly #connections: Connection[];
  readonly #listeners = new Set<() => void>();
  #index: number;
  #answeredMs = systemClock.monotonicMs();
  #isClosed = false;

  /** `first`: which one to begin with; processes that begin with different ones share the load. */
  constructor(urls: readonly string[], material: () => TlsMaterial | null, first: number) {
    this.#material = material;
    this.#connections = urls.map((url) => this.#open(url));
    this.#index = first % urls.length;
  }

  get count(): number {
    return this.#connections.length;
  }

  get connections(): readonly Connection[] {
    return this.#connections;
  }

  current(): Connection {
    const connection = this.#connections[this.#index];
    if (connection === undefined) throw new Error('no endpoint of etcd is named');
    return connection;
  }

  /** Called after the current connection has become another, and after any failure: look at what you have open. */
  onTrouble(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  answered(connection: Connection): void {
    connection.answeredMs = systemClock.monotonicMs();
    this.#answeredMs = connection.answeredMs;
  }

  /** Since any member answered, or since the start. */
  get silenceMs(): number {
    return systemClock.monotonicMs() - this.#answeredMs;
  }

  /** It gave no answer. Told by many at once, only the first moves on. */
  failed(connection: Connection): void {
    if (this.#isClosed) return;
    const index = this.#connections.indexOf(connection);
    if (index === -1) return;
    if (systemClock.monotonicMs() - connection.answeredMs > SILENCE_MS_MAX) this.#replace(index);
    if (index === this.#index) this.#index = (index + 1) % this.#connections.length;
    for (const listener of this.#listeners) listener();
  }

  /** All connections anew: with a renewed certificate. Calls under way end on the old ones. */
  renew(): void {
    for (let index = 0; index < this.#connections.length; index++) this.#replace(index);
    for (const listener of this.#listeners) listener();
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    for (const { client } of this.#connections) client.close();
  }

  #open(url: string): Connection {
    return { url, client: openClient(url, this.#material()), answeredMs: systemClock.monotonicMs() };
  }

  #replace(index: number): void {
    const old = this.#connections[index];
    if (old === undefined) return;
    this.#connections[index] = this.#open(old.url);
    old.client.close();
  }
}
