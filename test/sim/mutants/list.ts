/** All of them, those first that need few seeds, each in a situation where few seeds draw one in which it matters; and the controls: the situations with no rule broken. */
import { ANSWERING } from './answering.ts';
import { BOUNDS } from './bounds.ts';
import { EQUALITY } from './equality.ts';
import { asChanges, type Constants, type Mutant, mutant, SHORT_LOGS, SMALL_MAXIMA, type Trial } from './mutant.ts';
import type { Situation } from './situations.ts';
import * as situations from './situations.ts';
import { TASKS } from './tasks.ts';

const { isolated, GROWING, ORPHANS } = situations;

type Under = readonly [Situation, Constants?];

/** All that a primary reads it finds in the cache of its own replica. */
const cached = ({ name, options }: Situation): Situation => ({ name: `${name}, all is cached`, options: { ...options, readsCached: 1 } });

const UNDER: Record<string, Under> = {
  noLeaseWait: [isolated(3_000)],
  grantForgotten: [isolated(3_000)],
  longestLeaseForgotten: [isolated(3_000)],
  repliesWithoutLease: [isolated(200)],
  repliesUnasked: [isolated(0)],
  readsNowUnleased: [cached(isolated(200))],
  readsNowInFlight: [cached(situations.LEAVING)],
  readsNowInDoubt: [cached(situations.IN_DOUBT)],
  servedUnlevelled: [situations.IN_DOUBT],
  readsNowOutOfSync: [cached(situations.NEEDY)],
  oneShardCounts: [situations.HALF_ISOLATED],
  lossUnsaid: [situations.LOSSES],
  flushOverLoss: [situations.POWER],
  flushAheadStale: [situations.POWER],
  suspectTrusted: [situations.POWER],
  cleanedVolatile: [situations.POWER, SHORT_LOGS],
  leftRenewed: [situations.LEARNERS, SHORT_LOGS],
  notRestamped: [situations.LEAVING, SHORT_LOGS],
  ownLogIgnored: [situations.AHEAD, SHORT_LOGS],
  copiedUnlocked: [situations.CATCHING_UP],
  notesTooFar: [situations.INTERRUPTED, SHORT_LOGS],
  sourceForgets: [situations.AWAY],
  resumesTooLate: [situations.INTERRUPTED, SHORT_LOGS],
  copyOutlivesWriters: [ORPHANS, SHORT_LOGS],
  copiesFromNeedy: [situations.NEEDY],
  scrubGuesses: [situations.ROTTEN, SHORT_LOGS],
  scrubsNothing: [situations.ROTTEN, SHORT_LOGS],
  snapshotUnbarred: [situations.SNAPSHOTS],
  offeredTooEarly: [GROWING],
  takesPartTooSmall: [GROWING],
  grownVolatile: [GROWING],
  ...Object.fromEntries(BOUNDS.map(({ name }): [string, Under] => [name, [situations.BUSY, SMALL_MAXIMA]])),
};

/** Those that are put into one. */
export const SITUATED = Object.keys(UNDER);

const ANYWHERE: Under = [situations.ANY];

const placed = (trial: Trial, [situation, constants]: Under): Trial => ({
  ...trial,
  changes: [...trial.changes, ...asChanges(constants?.changes ?? [])],
  options: { ...trial.options, ...situation.options },
  situation: constants ? `${situation.name}, ${constants.name}` : situation.name,
});

export const MUTANTS: readonly Mutant[] = [
  ...TASKS.map((each): Mutant => ({ ...each, worlds: 'tasks', situation: 'tasks' })),
  ...[...ANSWERING, ...EQUALITY, ...BOUNDS]
    .map((each): Mutant => ({ ...each, ...placed(each, UNDER[each.name] ?? ANYWHERE) }))
    .sort((one, other) => one.seedsMax - other.seedsMax),
];

/** Each situation once, with no rule broken: a checker that complains there complains of nothing. */
export function controls(seeds: number): Trial[] {
  const made = new Map<string, Trial>();
  for (const under of [...Object.values(UNDER), ANYWHERE]) {
    const control = placed(mutant('control', seeds, ''), under);
    made.set(control.situation, { ...control, name: control.situation });
  }
  made.set('tasks', { ...mutant('tasks', seeds, ''), worlds: 'tasks', situation: 'tasks' });
  return [...made.values()];
}
