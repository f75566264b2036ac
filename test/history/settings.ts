/** What a run is like, from the environment. All that is not given is chosen so that a run fits into a pipeline. Pure. */
import { LocalClusterError } from '../../tools/local/errors.ts';
import { isKind, KINDS, type Kind } from './faults.ts';

export type RunSettings = {
  seed: number;
  durationMs: number;
  nodes: number;
  volumes: number;
  clients: number;
  borders: number;
  mutant: string;
  /** Only these; empty: all. */
  kinds: Kind[];
  /** Faults at once, at most: with more than one of a kind, one may undo what another is for. */
  together: number;
  leaseMs: number;
  /** The directory stays also when all is well. */
  isKept: boolean;
};

const MINUTE_MS = 60_000;
const SEED_MAX = 2 ** 31 - 1;

/** Shorter than an agent counts as alive (3 s), and longer: only then does a new primary ever wait for a lease. */
const LEASE_MS_MAX = 15_000;
const LEASES_MS = [1_500, 1_500, 5_000];

export function runSettings(environment: NodeJS.ProcessEnv, anySeed: () => number): RunSettings {
  const number = (name: string, fallback: number, min: number, max: number): number => {
    const text = environment[name] || String(fallback); // make hands on what was not given as the empty string
    const value = Number(text);
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    throw new LocalClusterError(`${name}=${text} is not a number from ${min} to ${max}.`);
  };
  const kinds = (environment.FAULTS || '').split(',').filter((kind) => kind !== '');
  const unknown = kinds.find((kind) => !isKind(kind));
  if (unknown !== undefined) throw new LocalClusterError(`FAULTS=${unknown} is none of ${KINDS.join(', ')}.`);
  const seed = Math.floor(number('SEED', anySeed(), 0, SEED_MAX));
  return {
    seed,
    kinds: kinds.filter(isKind),
    together: Math.floor(number('TOGETHER', 2, 1, 4)),
    leaseMs: number('LEASE_MS', LEASES_MS[seed % LEASES_MS.length] ?? 0, 0, LEASE_MS_MAX),
    durationMs: number('MINUTES', 1.5, 0.1, 24 * 60) * MINUTE_MS,
    nodes: Math.floor(number('NODES', 4, 4, 8)),
    volumes: Math.floor(number('VOLUMES', 2, 1, 8)),
    clients: Math.floor(number('CLIENTS', 5, 1, 16)),
    borders: Math.floor(number('BORDERS', 6, 1, 64)),
    mutant: environment.MUTANT || '',
    isKept: Boolean(environment.KEEP),
  };
}
