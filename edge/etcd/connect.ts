/** Wires etcd's parts together: calls, views, the lease. Must never decide what a key means. */
import type { Log } from '../../core/log.ts';
import type { Store, StoreLease } from '../../core/store.ts';
import type { Certificates } from '../tls.ts';

export type StoreOptions = {
  /** `https://host:port`; `http:` only where `certificates` is null. */
  endpoints: readonly string[];
  /** Null: no TLS, for tests. Renewed certificates are taken up without a restart. */
  certificates: Certificates | null;
  /** How long what was put `leased` outlives this process; at least 2 (etcd's own minimum with its default election time-out). */
  leaseTtlSeconds: number;
};

export type StoreConnection = {
  store: Store;
  lease: StoreLease;
  /** Stops all of it; the lease is left to run out. `lease.revoke()` first where it shall end now. */
  close(): Promise<void>;
};

/** Returns at once; what needs etcd waits for it within its own deadline. */
export function connectStore(_options: StoreOptions, _log: Log): StoreConnection {
  throw new Error('not written yet');
}
