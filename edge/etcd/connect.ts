/** Wires etcd's parts together: calls, views, the lease. Must never decide what a key means. */
import { systemClock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import { type Random, systemRandom } from '../../core/random.ts';
import type { Store, StoreLease } from '../../core/store.ts';
import type { Metrics } from '../metrics.ts';
import type { Certificates } from '../tls.ts';
import { Calls } from './calls.ts';
import { Endpoints } from './endpoints.ts';
import { EtcdLease } from './lease.ts';
import { type MembersAnswering, memberProbe } from './members.ts';
import { Pulse } from './pulse.ts';
import { commitChanges, endOf, getEntries, getEntry, listEntries } from './store.ts';
import { type StoreUpkeep, upkeepOf } from './upkeep.ts';
import { EtcdView, type ViewPorts } from './view.ts';

export type StoreOptions = {
  /** `https://host:port`; `http:` only where `certificates` is null. */
  endpoints: readonly string[];
  /** Null: no TLS, for tests. Renewed certificates are taken up without a restart. */
  certificates: Certificates | null;
  /** How long what was put `leased` outlives this process; at least 2 (etcd's own minimum with its default election time-out). */
  leaseTtlSeconds: number;
  metrics?: Metrics;
};

export type StoreConnection = {
  store: Store;
  lease: StoreLease;
  /** For readiness: null while etcd answers, else a sentence. */
  check(): string | null;
  /** How many of the endpoints answer now; for people. */
  members(): Promise<MembersAnswering>;
  /** For whoever keeps etcd itself in order. */
  upkeep: StoreUpkeep;
  /** Stops all of it; the lease is left to run out. `lease.revoke()` first where it shall end now. */
  close(): Promise<void>;
};

/** The lease's loop asks every second or so: silence for longer is etcd's. */
const SILENCE_MS_MAX = 5_000;
const DENIED_TOLD_EVERY_MS = 30_000;

/** Returns at once; what needs etcd waits for it within its own deadline. */
export function connectStore(options: StoreOptions, log: Log, random: Random = systemRandom): StoreConnection {
  const { certificates } = options;
  const metrics = options.metrics ?? null;
  const first = Math.floor(random.unit() * options.endpoints.length);
  const material = () => certificates?.material ?? null;
  const endpoints = new Endpoints(options.endpoints, material, first);
  const stopRenewing = certificates?.onRenewed(() => endpoints.renew());
  const calls = new Calls(endpoints, metrics, tellDenied(log));
  const lease = new EtcdLease(calls, endpoints, options.leaseTtlSeconds, log, metrics);
  const pulse = new Pulse(calls, endpoints);
  const listings = metrics?.counter('etcd_view_listings_total', 'Listings of watched prefixes; more than the views: watches that broke');
  const ports: ViewPorts = { calls, endpoints, clock: systemClock, log, random: () => random.unit(), countListing: () => listings?.inc() };
  return {
    store: storeOf(calls, lease, pulse, ports),
    lease,
    check: () => silenceOf(endpoints),
    members: memberProbe(endpoints, metrics),
    upkeep: upkeepOf(calls, endpoints, material),
    async close() {
      stopRenewing?.();
      pulse.close();
      await lease.stop();
      endpoints.close();
    },
  };
}

/** An agent may come before its account: it waits, and says for what. */
function tellDenied(log: Log): (attempted: string) => void {
  let toldMs = Number.NEGATIVE_INFINITY;
  return (attempted) => {
    if (systemClock.monotonicMs() - toldMs < DENIED_TOLD_EVERY_MS) return;
    toldMs = systemClock.monotonicMs();
    log.warn("etcd refuses this: this certificate's name has no account there yet, or not that right", {
      operation: attempted.slice(0, 200),
    });
  };
}

function storeOf(calls: Calls, lease: EtcdLease, pulse: Pulse, ports: ViewPorts): Store {
  return {
    get: (key) => getEntry(calls, key),
    getAll: (keys) => getEntries(calls, keys),
    list: (prefix) => listEntries(calls, prefix),
    commit: (conditions, changes) => commitChanges(calls, lease, conditions, changes),
    view(prefix, onChange) {
      endOf(prefix);
      const view = new EtcdView(prefix, ports, onChange, (closed) => pulse.remove(closed));
      pulse.add(view);
      return view;
    },
  };
}

function silenceOf(endpoints: Endpoints): string | null {
  const { silenceMs } = endpoints;
  if (silenceMs <= SILENCE_MS_MAX) return null;
  return `etcd has given no answer for ${Math.round(silenceMs / 1000)} s (now asked: ${endpoints.current().url})`;
}
