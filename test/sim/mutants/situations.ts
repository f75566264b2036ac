/** What is taken from the seed for a mutant: the cluster in which the rule that it breaks matters soon. Nothing else goes wrong there. */
import { EXTENT_BYTES } from '../../../core/extent.ts';
import type { Settings } from '../../../core/settings.ts';
import type { SimOptions } from '../options.ts';
import type { Mutant } from './mutant.ts';

type Situation = Mutant['options'];

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

const CALM: Situation = {
  nodes: 5,
  replicas: 3,
  minInSync: 1,
  shards: 1,
  sizeBytes: 2 * EXTENT_BYTES,
  maxSizeBytes: 2 * EXTENT_BYTES,
  settings: SETTINGS,
  clients: 3,
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
  memberEveryMs: 0,
  growEveryMs: 0,
  limitEveryMs: 0,
  snapshotEveryMs: 0,
  rotEveryMs: 0,
  failingFlush: 0,
  completesAtOnce: 0,
  networkDelayMs: 0.5,
  diskDelayMs: 1,
  registerDelayMs: 3,
  clockDrift: 0,
};

/** A primary that is cut off goes on with the replica beside it, while another is promoted. */
export const isolated = (leaseMs: number): Situation => ({
  ...CALM,
  isolateEveryMs: 4_000,
  thinkMs: 30,
  depth: 2,
  settings: { ...SETTINGS, leaseMs },
});

/** One replica, with its primary mostly elsewhere, that loses power. */
export const LOSSES: Situation = {
  ...CALM,
  nodes: 3,
  replicas: 1,
  moveEveryMs: 1_500,
  faultEveryMs: { ...NO_FAULTS, powerLoss: 800 },
};

/** Agents die while writes are on their way, and come back soon or late. */
const CRASHES: Situation = {
  ...CALM,
  nodes: 3,
  replicas: 2,
  sizeBytes: 5 * EXTENT_BYTES,
  maxSizeBytes: 5 * EXTENT_BYTES,
  thinkMs: 60,
  networkDelayMs: 5,
  faultEveryMs: { ...NO_FAULTS, crash: 800 },
};

export const LEAVING: Situation = CRASHES;

/** What was written before a pause is not written again while somebody is away. */
export const AWAY: Situation = { ...CRASHES, thinkMs: 20, activeMs: 300, idleMs: 2_500, moveEveryMs: 1_000 };

/** Learners that die while they catch up. */
export const INTERRUPTED: Situation = { ...CRASHES, settings: SLOW_RESYNC, faultEveryMs: { ...NO_FAULTS, crash: 500 } };

/** Two learners at once. */
export const NEEDY: Situation = { ...INTERRUPTED, replicas: 3, moveEveryMs: 1_500 };

export const ROTTEN: Situation = {
  ...CALM,
  nodes: 3,
  maxSizeBytes: 3 * EXTENT_BYTES,
  activeMs: 300,
  idleMs: 3_500,
  rotEveryMs: 500,
  settings: { ...SETTINGS, scrubIntervalSeconds: 1 },
  faultEveryMs: { ...NO_FAULTS, crash: 1_500 },
};

/** Replicas that are away while it grows. */
export const GROWING: Situation = {
  ...CALM,
  sizeBytes: 2 * EXTENT_BYTES + 64 * 1024,
  maxSizeBytes: 4 * EXTENT_BYTES,
  growEveryMs: 300,
  faultEveryMs: { ...NO_FAULTS, crash: 600 },
};

/** Replicas that come and go while little is written, so that stamps alone know what is missing. */
export const LEARNERS: Situation = {
  replicas: 3,
  nodes: 5,
  minInSync: 1,
  activeMs: 300,
  idleMs: 2_000,
  promoteEveryMs: 1_500,
  clients: 3,
};

export const SNAPSHOTS: Situation = { snapshotEveryMs: 200 };
