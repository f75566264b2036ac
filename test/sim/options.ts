/** What a run is like, all of it drawn from its seed: a swarm of different clusters finds more than one that has everything at once. */
import { EXTENT_BYTES } from '../../core/extent.ts';
import type { Settings } from '../../core/settings.ts';
import { between, randomFor } from './seeds.ts';

export type SimOptions = {
  seed: number;
  /** Events of the phase with faults. */
  steps: number;
  nodes: number;
  replicas: number;
  minInSync: number;
  /** Over which the volume is striped; each has replicas of its own. */
  shards: number;
  sizeBytes: number;
  /** It grows in the middle of everything, up to this. */
  maxSizeBytes: number;
  settings: Settings;
  clients: number;
  /** So many of them only read. */
  readers: number;
  /** Requests that a client has open at once. */
  depth: number;
  /** Between two requests of a client. */
  thinkMs: number;
  /** All clients pause so long after so long: only then do logs become empty, and do stamps alone know what is missing. */
  activeMs: number;
  idleMs: number;
  /** Virtual time between two faults of a kind; 0: none of them. */
  faultEveryMs: {
    crash: number;
    powerLoss: number;
    blackout: number;
    pause: number;
    cut: number;
    breakLink: number;
    register: number;
    quorum: number;
    full: number;
    settings: number;
    wallClock: number;
    close: number;
  };
  /** Shares of what etcd is asked and answers that are lost, and of watches that tell twice, or one thing for several. */
  registerFaults: { loses: number; repeats: number; coalesces: number };
  /** Whether replicas are kept by the store that ships, on simulated disks. */
  usesDisks: boolean;
  /** Whether sessions travel as the bytes that the real ends write. */
  usesWire: boolean;
  /** A power loss may leave half of a block. */
  tears: boolean;
  /** Between two changes of mind of the people above: where it is attached, which replicas there are. */
  moveEveryMs: number;
  promoteEveryMs: number;
  /** The primary is paused, and another one promoted over it while its leases still run. */
  coupEveryMs: number;
  /** The primary is cut off from everybody but its clients and its own replica, and another one promoted over it. */
  isolateEveryMs: number;
  /** Between two tries of each story (stories.ts). */
  halfIsolateEveryMs: number;
  orphanEveryMs: number;
  memberEveryMs: number;
  growEveryMs: number;
  limitEveryMs: number;
  snapshotEveryMs: number;
  /** Between two blocks that rot; 0: none do. */
  rotEveryMs: number;
  /** Whether what is written now and then stays in the logs (`Patience` in agent/replica/heat.ts): nothing rots while it does. */
  lingers: boolean;
  /** Probability that a flush fails. The replica is then lost for good: at most one a run. */
  failingFlush: number;
  /** Completions of the disk within the very call, where the port allows that. */
  completesAtOnce: number;
  networkDelayMs: number;
  diskDelayMs: number;
  registerDelayMs: number;
  /** Clocks run apart by up to this share. */
  clockDrift: number;
  /** Of the reads, what the primary finds in the cache of its own replica. */
  readsCached: number;
};

/** Two whole extents and a short one, more where they lie in several shards: writes cross all borders. */
const sizeOf = (shards: number): number => (1 + shards) * EXTENT_BYTES + 64 * 1024;

export function drawOptions(seed: number, steps: number): SimOptions {
  const random = randomFor(seed, 'options');
  const often = (probability: number, low: number, high: number) => (random.chance(probability) ? between(random, low, high) : 0);
  const either = (probability: number, one: number, other: number) => (random.chance(probability) ? one : other);
  const replicas = Math.min(3, 1 + random.below(4));
  const powers = random.chance(0.4);
  const rots = replicas === 3 && random.chance(0.3);
  const shards = random.chance(0.6) ? 1 : 2 + random.below(2);
  return {
    seed,
    steps,
    nodes: replicas + 2,
    replicas,
    minInSync: either(0.5, Math.floor(replicas / 2) + 1, 1 + random.below(replicas)),
    shards,
    sizeBytes: sizeOf(shards),
    maxSizeBytes: sizeOf(shards) + (rots ? 1 : 2) * EXTENT_BYTES,
    settings: {
      heartbeatMs: 50,
      leaseMs: either(0.2, 0, 400),
      replicaTimeoutMs: either(0.5, 500, 1_000),
      ioTimeoutMs: either(0.5, 0, 3_000),
      resyncBytesPerSecond: either(0.3, 2 * EXTENT_BYTES, 256 * EXTENT_BYTES),
      scrubIntervalSeconds: rots ? 1 : either(0.5, 0, 1),
      scrubBytesPerSecond: 64 * EXTENT_BYTES,
    },
    clients: 1 + random.below(3),
    readers: 0,
    depth: 1 + random.below(2),
    thinkMs: either(0.5, 5, 40),
    activeMs: either(0.5, 300, 1_500),
    idleMs: often(0.5, 2_000, 6_000),
    faultEveryMs: {
      crash: often(0.6, 500, 6_000),
      powerLoss: powers ? between(random, 800, 6_000) : 0,
      blackout: powers ? often(0.5, 3_000, 9_000) : 0,
      pause: often(0.6, 500, 5_000),
      cut: often(0.6, 500, 5_000),
      breakLink: often(0.7, 100, 2_000),
      register: often(0.4, 500, 4_000),
      quorum: often(0.3, 1_000, 6_000),
      full: often(0.2, 500, 4_000),
      settings: often(0.3, 500, 4_000),
      wallClock: often(0.3, 500, 4_000),
      close: often(0.5, 500, 4_000),
    },
    registerFaults: { loses: either(0.5, 0.1, 0.02), repeats: either(0.5, 0.1, 0), coalesces: either(0.5, 0.3, 0) },
    usesDisks: random.chance(0.25),
    usesWire: random.chance(0.25),
    tears: powers && random.chance(0.5),
    moveEveryMs: often(0.5, 1_000, 6_000),
    promoteEveryMs: often(0.5, 500, 5_000),
    coupEveryMs: often(0.5, 300, 2_000),
    memberEveryMs: rots ? 0 : often(0.5, 1_500, 6_000),
    growEveryMs: rots ? 0 : often(0.3, 1_000, 5_000),
    limitEveryMs: often(0.2, 1_000, 5_000),
    snapshotEveryMs: often(0.3, 300, 4_000),
    rotEveryMs: rots ? between(random, 500, 4_000) : 0,
    lingers: !rots,
    failingFlush: powers || rots ? 0 : either(0.15, 0.01, 0),
    completesAtOnce: either(0.3, 0.5, 0),
    networkDelayMs: either(0.7, 0.5, 5),
    diskDelayMs: either(0.7, 1, 10),
    registerDelayMs: either(0.6, 3, 40),
    clockDrift: either(0.5, 0, 0.02),
    isolateEveryMs: often(0.3, 1_000, 5_000),
    halfIsolateEveryMs: shards > 1 ? often(0.2, 2_000, 6_000) : 0,
    orphanEveryMs: replicas > 2 ? often(0.2, 2_000, 8_000) : 0,
    readsCached: either(0.6, 0.7, 0),
  };
}
