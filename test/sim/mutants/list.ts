/** All of them. */
import { ANSWERING } from './answering.ts';
import { EQUALITY } from './equality.ts';
import type { Mutant } from './mutant.ts';
import { TASKS } from './tasks.ts';

export const MUTANTS: readonly Mutant[] = [...ANSWERING, ...EQUALITY, ...TASKS];
