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
    ['agent/replica/session.ts', 'COOL_MS = 1_000', 'COOL_MS = 20'],
  ],
};

const QUICK: Partial<SimOptions> = { usesDisks: false, usesWire: false };

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
