import type { SimOptions } from '../options.ts';

/** A rule of the protocol, broken by a change of the source that the simulator has to notice within so many seeds. */
export type Mutant = {
  name: string;
  /** The rule that it breaks. */
  rule: string;
  changes: readonly { file: string; find: string; replace: string }[];
  seedsMax: number;
  /** Where it can show. */
  worlds: 'volume' | 'tasks';
  /** What is not left to the seed: quick stores, and what this rule is about. */
  options: Partial<SimOptions>;
};

export type Change = readonly [file: string, find: string, replace: string];

/** No rule: the log forgets in a moment what it keeps for seconds, so that what it would make up for is seen. */
export const SHORT_LOGS: readonly Change[] = [
  ['agent/replica/replica.ts', 'CLEAN_INTERVAL_MS = 2_000', 'CLEAN_INTERVAL_MS = 50'],
  ['agent/replica/session.ts', 'COOL_MS = 1_000', 'COOL_MS = 20'],
];

const QUICK: Partial<SimOptions> = { usesDisks: false, usesWire: false };

export const mutant = (name: string, seedsMax: number, rule: string, ...changes: readonly Change[]): Mutant => ({
  name,
  rule,
  seedsMax,
  changes: changes.map(([file, find, replace]) => ({ file, find, replace })),
  worlds: 'volume',
  options: QUICK,
});
