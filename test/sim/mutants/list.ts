/** All of them, those first that need few seeds, each with what is not left to the seed because few seeds draw it. */
import { ANSWERING } from './answering.ts';
import { EQUALITY } from './equality.ts';
import type { Mutant } from './mutant.ts';
import * as situations from './situations.ts';
import { TASKS } from './tasks.ts';

const { isolated, LEARNERS, GROWING } = situations;

const UNDER: Record<string, Mutant['options']> = {
  noLeaseWait: isolated(3_000),
  grantForgotten: isolated(3_000),
  longestLeaseForgotten: isolated(3_000),
  repliesWithoutLease: isolated(200),
  repliesUnasked: isolated(0),
  lossUnsaid: situations.LOSSES,
  notRestamped: situations.LEAVING,
  ownLogIgnored: situations.AWAY,
  sourceForgets: situations.AWAY,
  resumesTooLate: situations.INTERRUPTED,
  copiesFromNeedy: situations.NEEDY,
  leftRenewed: LEARNERS,
  scrubGuesses: situations.ROTTEN,
  scrubsNothing: situations.ROTTEN,
  snapshotUnbarred: situations.SNAPSHOTS,
  offeredTooEarly: GROWING,
  takesPartTooSmall: GROWING,
  grownVolatile: GROWING,
};

export const MUTANTS: readonly Mutant[] = [
  ...TASKS.map((each): Mutant => ({ ...each, worlds: 'tasks' })),
  ...[...ANSWERING, ...EQUALITY]
    .map((each): Mutant => ({ ...each, options: { ...each.options, ...UNDER[each.name] } }))
    .sort((one, other) => one.seedsMax - other.seedsMax),
];
