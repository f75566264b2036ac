/** All of them, each with what is not left to the seed because few seeds draw it. */
import { ANSWERING } from './answering.ts';
import { EQUALITY } from './equality.ts';
import type { Mutant } from './mutant.ts';
import { TASKS } from './tasks.ts';

/** Zombies whose leases run still, while another is promoted, busily used. */
const COUPS: Mutant['options'] = { coupEveryMs: 400, replicas: 3, nodes: 5, minInSync: 1, thinkMs: 5, idleMs: 0, clients: 3 };
/** Replicas that come and go while little is written, so that stamps alone know what is missing. */
const LEARNERS: Mutant['options'] = {
  replicas: 3,
  nodes: 5,
  minInSync: 1,
  activeMs: 300,
  idleMs: 2_000,
  promoteEveryMs: 1_500,
  clients: 3,
};

/** Replicas that are away while it grows. */
const GROWS: Mutant['options'] = { growEveryMs: 300, replicas: 3, nodes: 5, minInSync: 1 };

const UNDER: Record<string, Mutant['options']> = {
  noLeaseWait: COUPS,
  repliesWithoutLease: COUPS,
  grantForgotten: COUPS,
  longestLeaseForgotten: COUPS,
  oneShardsLease: { ...COUPS, shards: 3 },
  oneShardsWait: { ...COUPS, shards: 3 },
  ownLogIgnored: LEARNERS,
  sourceLogIgnored: LEARNERS,
  notRestamped: LEARNERS,
  leftRenewed: LEARNERS,
  resumesTooLate: LEARNERS,
  notesInDoubt: LEARNERS,
  copiesFromNeedy: LEARNERS,
  snapshotUnbarred: { snapshotEveryMs: 200 },
  offeredTooEarly: GROWS,
  joinsTooSmall: GROWS,
  grownVolatile: GROWS,
};

export const MUTANTS: readonly Mutant[] = [
  ...[...ANSWERING, ...EQUALITY].map((each): Mutant => ({ ...each, options: { ...each.options, ...UNDER[each.name] } })),
  ...TASKS.map((each): Mutant => ({ ...each, worlds: 'tasks' })),
];
