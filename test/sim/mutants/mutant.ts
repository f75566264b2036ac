import type { SimOptions } from '../options.ts';

/** The simulator over a copy of the sources with these changes, with the seeds from 1. */
export type Trial = {
  name: string;
  changes: readonly { file: string; find: string; replace: string }[];
  seedsMax: number;
  /** Where it can show. */
  worlds: 'volume' | 'tasks';
  /** What is not left to the seed: quick stores, and what a rule is about. */
  options: Partial<SimOptions>;
  /** The same for people. */
  situation: string;
};

/** A rule of the protocol, broken by a change of the source that the simulator has to notice within so many seeds. */
export type Mutant = Trial & { rule: string };

export type Change = readonly [file: string, find: string, replace: string];

/** No rule: constants so small that what a rule is about happens within a run. */
export type Constants = { name: string; changes: readonly Change[] };

export const SHORT_LOGS: Constants = {
  name: 'short logs',
  changes: [
    ['agent/replica/replica.ts', 'CLEAN_INTERVAL_MS = 2_000', 'CLEAN_INTERVAL_MS = 50'],
    ['agent/replica/heat.ts', 'COOL_MS = 1_000', 'COOL_MS = 20'],
    ['agent/replica/heat.ts', 'LINGERING_EXTENTS_MAX = 1_024', 'LINGERING_EXTENTS_MAX = 0'],
  ],
};

export const SMALL_MAXIMA: Constants = {
  name: 'small maxima',
  changes: [
    ['agent/primary/replication.ts', 'OPERATIONS_IN_FLIGHT_MAX = 4_096', 'OPERATIONS_IN_FLIGHT_MAX = 3'],
    ['agent/primary/frontend.ts', 'WAITING_MAX = 16_384', 'WAITING_MAX = 4'],
    ['agent/primary/throttle.ts', 'THROTTLED_MAX = 16_384', 'THROTTLED_MAX = 3'],
    ['agent/primary/snapshot.ts', 'SNAPSHOTS_WAITING_MAX = 16', 'SNAPSHOTS_WAITING_MAX = 2'],
    ['agent/primary/leveller.ts', 'LEVELS_MAX = 4', 'LEVELS_MAX = 2'],
    ['agent/primary/leveller.ts', 'unflushedBytes: 32 * 1024 * 1024', 'unflushedBytes: 8192'],
    ['agent/primary/leveller.ts', 'unflushedBytes: 1 * 1024 * 1024', 'unflushedBytes: 4096'],
    ['agent/primary/peer.ts', 'PINGS_MAX = 64', 'PINGS_MAX = 6'],
    ['agent/replica/session.ts', 'QUEUED_MESSAGES_MAX = 65_536', 'QUEUED_MESSAGES_MAX = 64'],
    ['agent/replica/session.ts', 'SUMMARIES_MAX = 64', 'SUMMARIES_MAX = 1'],
  ],
};

const QUICK: Partial<SimOptions> = { usesDisks: false, usesWire: false, readsCached: 0 };

export const asChanges = (changes: readonly Change[]): Trial['changes'] =>
  changes.map(([file, find, replace]) => ({ file, find, replace }));

export const mutant = (name: string, seedsMax: number, rule: string, ...changes: readonly Change[]): Mutant => ({
  name,
  rule,
  seedsMax,
  changes: asChanges(changes),
  worlds: 'volume',
  options: QUICK,
  situation: 'any',
});
