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

const QUICK: Partial<SimOptions> = { usesDisks: false, usesWire: false };

export const mutant = (
  name: string,
  seedsMax: number,
  rule: string,
  ...changes: readonly (readonly [file: string, find: string, replace: string])[]
): Mutant => ({
  name,
  rule,
  seedsMax,
  changes: changes.map(([file, find, replace]) => ({ file, find, replace })),
  worlds: 'volume',
  options: QUICK,
});
