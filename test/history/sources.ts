/**
 * The sources that the cluster's programs run from: a copy, so that nothing changes under a long run, and so that a rule of the protocol can be broken in
 * it, as the simulator's mutants do. Must never write into the checkout.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Mutant } from '../../test/sim/mutants/mutant.ts';
import { LocalClusterError } from '../../tools/local/errors.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { MUTANTS } from '../sim/mutants/list.ts';

const COPIED = ['agent', 'core', 'edge', 'operator', 'package.json'];

/** Null where the name is empty. */
export function mutantNamed(name: string): Mutant | null {
  if (name === '') return null;
  const mutant = MUTANTS.find((candidate) => candidate.name === name);
  if (mutant === undefined) throw new LocalClusterError(`There is no mutant ${name}, only ${MUTANTS.map((one) => one.name).join(', ')}.`);
  const foreign = mutant.changes.find(({ file }) => !COPIED.some((room) => file.startsWith(`${room}/`)));
  if (foreign) throw new LocalClusterError(`The mutant ${name} changes ${foreign.file}, which is no part of the programs.`);
  return mutant;
}

export function copySources(directory: string, mutant: Pick<Mutant, 'name' | 'changes'> | null): void {
  mkdirSync(directory, { recursive: true });
  for (const name of COPIED) cpSync(path.join(CHECKOUT, name), path.join(directory, name), { recursive: true });
  symlinkSync(path.join(CHECKOUT, 'node_modules'), path.join(directory, 'node_modules'));
  for (const { file, find, replace } of mutant?.changes ?? []) {
    const name = path.join(directory, file);
    const source = readFileSync(name, 'utf8');
    if (source.split(find).length !== 2)
      throw new LocalClusterError(`The mutant does not fit: ${file} does not have exactly once: ${find}`);
    writeFileSync(
      name,
      source.replace(find, () => replace),
    );
  }
}
