/** A rule of the protocol, broken by a change of the source that the simulator has to notice within so many seeds. */
export type Mutant = {
  name: string;
  /** The rule that it breaks. */
  rule: string;
  changes: readonly { file: string; find: string; replace: string }[];
  seedsMax: number;
};

export const mutant = (
  name: string,
  seedsMax: number,
  rule: string,
  ...changes: readonly (readonly [file: string, find: string, replace: string])[]
): Mutant => ({ name, rule, seedsMax, changes: changes.map(([file, find, replace]) => ({ file, find, replace })) });
