/** What is taken from the seed for a mutant: the cluster in which the rule that it breaks matters soon. Nothing else goes wrong there. */
import { EXTENT_BYTES } from '../../../core/extent.ts';
import type { Settings } from '../../../core/settings.ts';
import type { SimOptions } from '../options.ts';

export type Situation = { name: string; options: Partial<SimOptions> };

const NO_FAULTS: SimOptions['faultEveryMs'] = {
  crash: 0,
  powerLoss: 0,
  blackout: 0,
  pause: 0,
  cut: 0,
  breakLink: 0,
  register: 0,
  quorum: 0,
  full: 0,
  settings: 0,
  wallClock: 0,
  close: 0,
};

const SETTINGS: Settings = {
  heartbeatMs: 50,
  leaseMs: 400,
  replicaTimeoutMs: 500,
  ioTimeoutMs: 0,
  resyncBytesPerSecond: 256 * EXTENT_BYTES,
  scrubIntervalSeconds: 0,
  scrubBytesPerSecond: 64 * EXTENT_BYTES,
};

/** So that catching up takes seconds, and breaks on the way. */
const SLOW_RESYNC: Settings = { ...SETTINGS, resyncBytesPerSecond: EXTENT_BYTES / 4 };

/** Clients, and nothing that goes wrong. */
export const CALM: Situation['options'] = {
  nodes: 5,
  replicas: 3,
  minInSync: 1,
  shards: 1,
  sizeBytes: 2 * EXTENT_BYTES,
  maxSizeBytes: 2 * EXTENT_BYTES,
  settings: SETTINGS,
  clients: 3,
  readers: 0,
  depth: 1,
  thinkMs: 20,
  activeMs: 1_000,
  idleMs: 0,
  faultEveryMs: NO_FAULTS,
  registerFaults: { loses: 0, repeats: 0, coalesces: 0 },
  tears: false,
  moveEveryMs: 0,
  promoteEveryMs: 0,
  coupEveryMs: 0,
  isolateEveryMs: 0,
  halfIsolateEveryMs: 0,
  orphanEveryMs: 0,
  memberEveryMs: 0,
  growEveryMs: 0,
  limitEveryMs: 0,
  snapshotEveryMs: 0,
  rotEveryMs: 0,
  lingers: true,
  failingFlush: 0,
  completesAtOnce: 0,
  networkDelayMs: 0.5,
  diskDelayMs: 1,
  registerDelayMs: 3,
  clockDrift: 0,
};

const calm = (name: string, options: Situation['options']): Situation => ({ name, options: { ...CALM, ...options } });

/** A primary that is cut off goes on with the replica beside it, while another is promoted. */
export const isolated = (leaseMs: number): Situation =>
  calm(`isolated, leases ${leaseMs} ms`, { isolateEveryMs: 4_000, thinkMs: 30, depth: 2, settings: { ...SETTINGS, leaseMs } });

/** Of two shards one is cut off from its primary for longer than its leases last, then another is promoted. */
export const HALF_ISOLATED = calm('half isolated', {
  shards: 2,
  replicas: 2,
  halfIsolateEveryMs: 3_000,
  // Who writes waits for what is cut off, and whoever reads what is written waits, too.
  clients: 3,
  readers: 2,
  depth: 8,
  settings: { ...SETTINGS, leaseMs: 2_000, replicaTimeoutMs: 250 },
});

/** One replica, with its primary mostly elsewhere, that loses power. */
export const LOSSES = calm('losses', { nodes: 3, replicas: 1, moveEveryMs: 1_500, faultEveryMs: { ...NO_FAULTS, powerLoss: 800 } });

/** More than anybody has room for. */
export const BUSY = calm('busy', {
  nodes: 3,
  sizeBytes: 5 * EXTENT_BYTES,
  maxSizeBytes: 5 * EXTENT_BYTES,
  depth: 8,
  thinkMs: 5,
  networkDelayMs: 5,
  limitEveryMs: 1_000,
  snapshotEveryMs: 20,
  faultEveryMs: { ...NO_FAULTS, crash: 3_000, pause: 2_000, cut: 2_000 },
});

/** Machines lose power, one after the other and all at once, with much that is not flushed. */
export const POWER = calm('power', {
  nodes: 3,
  thinkMs: 10,
  diskDelayMs: 10,
  registerDelayMs: 20,
  faultEveryMs: { ...NO_FAULTS, powerLoss: 700, blackout: 4_000 },
});

/** Agents die while writes are on their way, and come back soon or late. */
const CRASHES: Situation['options'] = {
  nodes: 3,
  replicas: 2,
  sizeBytes: 5 * EXTENT_BYTES,
  maxSizeBytes: 5 * EXTENT_BYTES,
  thinkMs: 60,
  networkDelayMs: 5,
  faultEveryMs: { ...NO_FAULTS, crash: 800 },
};

export const LEAVING = calm('leaving', CRASHES);

/** What was written before a pause is not written again while somebody is away. */
const AWAY_OPTIONS: Situation['options'] = { ...CRASHES, thinkMs: 20, activeMs: 300, idleMs: 2_500, moveEveryMs: 1_000 };
export const AWAY = calm('away', AWAY_OPTIONS);

/** Much is written to the little that learners catch up with. */
export const CATCHING_UP = calm('catching up', {
  ...CRASHES,
  sizeBytes: 2 * EXTENT_BYTES,
  maxSizeBytes: 2 * EXTENT_BYTES,
  thinkMs: 5,
  depth: 4,
});

/** Primaries that die with what only the replica beside them has, and little is written while that one is away. */
export const AHEAD = calm('ahead', {
  ...CRASHES,
  sizeBytes: 9 * EXTENT_BYTES,
  maxSizeBytes: 9 * EXTENT_BYTES,
  clients: 2,
  thinkMs: 80,
  networkDelayMs: 40,
  moveEveryMs: 1_000,
  faultEveryMs: { ...NO_FAULTS, crash: 500 },
});

/** Learners that die while they catch up. */
const INTERRUPTED_OPTIONS: Situation['options'] = { ...CRASHES, settings: SLOW_RESYNC, faultEveryMs: { ...NO_FAULTS, crash: 500 } };
export const INTERRUPTED = calm('interrupted', INTERRUPTED_OPTIONS);

/** Two learners at once. */
export const NEEDY = calm('needy', { ...INTERRUPTED_OPTIONS, replicas: 3, moveEveryMs: 1_500 });

/** One promotion after another, with much that is levelled slowly while clients ask for it. */
export const IN_DOUBT = calm('in doubt', { ...INTERRUPTED_OPTIONS, replicas: 3, thinkMs: 20, promoteEveryMs: 1_500 });

/** A learner that alone has what its primary and the replica beside it took with them. */
export const ORPHANS = calm('orphans', {
  nodes: 4,
  sizeBytes: 5 * EXTENT_BYTES,
  maxSizeBytes: 5 * EXTENT_BYTES,
  orphanEveryMs: 1_500,
  networkDelayMs: 5,
  thinkMs: 80,
  settings: { ...SETTINGS, resyncBytesPerSecond: EXTENT_BYTES },
});

export const ROTTEN = calm('rotten', {
  nodes: 3,
  maxSizeBytes: 3 * EXTENT_BYTES,
  activeMs: 300,
  idleMs: 3_500,
  rotEveryMs: 500,
  settings: { ...SETTINGS, scrubIntervalSeconds: 1 },
  faultEveryMs: { ...NO_FAULTS, crash: 1_500 },
});

/** Replicas that are away while it grows. */
export const GROWING = calm('growing', {
  sizeBytes: 2 * EXTENT_BYTES + 64 * 1024,
  maxSizeBytes: 4 * EXTENT_BYTES,
  growEveryMs: 200,
  diskDelayMs: 20,
  faultEveryMs: { ...NO_FAULTS, crash: 600 },
});

/** Replicas that come and go while little is written, so that stamps alone know what is missing. All else as the seed has it. */
export const LEARNERS: Situation = {
  name: 'learners',
  options: { replicas: 3, nodes: 5, minInSync: 1, activeMs: 300, idleMs: 2_000, promoteEveryMs: 1_500, clients: 3 },
};

/** All else as the seed has it. */
export const SNAPSHOTS: Situation = { name: 'snapshots', options: { snapshotEveryMs: 200 } };

/** All of it. */
export const ANY: Situation = { name: 'any', options: {} };
