/** What a run is like, from the environment, and how often each fault comes. Pure. */
import { LocalClusterError } from '../../tools/local/errors.ts';
import type { Weights } from '../history/faults.ts';

/** `fio`: how many of the volumes fio writes to. `spoil`: afterwards everything that is looked at is spoilt, to see whether that is noticed. */
export type ChaosSettings = {
  seed: number;
  durationMs: number;
  nodes: number;
  volumes: number;
  fio: number;
  etcdMembers: number;
  spoil: boolean;
};

const MINUTE_MS = 60_000;
const SEED_MAX = 2 ** 31 - 1;

/** What can be anywhere in a cluster; the faults that are made for one rule of the protocol are the histories'. */
export const WEIGHTS: Weights = {
  kill: 5,
  stop: 3,
  cut: 2,
  cutBoth: 2,
  deaf: 1,
  mute: 1,
  noEtcd: 2,
  move: 3,
  zombie: 1,
  etcdKill: 2,
  etcdStop: 2,
  operatorKill: 2,
  operatorStop: 2,
  apiKill: 1,
  apiStop: 1,
  fullDisk: 2,
};

export function chaosSettings(environment: NodeJS.ProcessEnv, anySeed: () => number): ChaosSettings {
  const whole = (name: string, fallback: number, min: number, max: number): number => {
    const text = environment[name] || String(fallback); // make hands on what was not given as the empty string
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new LocalClusterError(`${name}=${text} is not a whole number from ${min} to ${max}.`);
  };
  return {
    seed: whole('SEED', anySeed(), 0, SEED_MAX),
    durationMs: whole('MINUTES', 2, 1, 24 * 60) * MINUTE_MS,
    nodes: whole('NODES', 5, 4, 8),
    volumes: whole('VOLUMES', 20, 1, 64),
    fio: whole('FIO', 4, 0, 64),
    etcdMembers: whole('ETCD_MEMBERS', 3, 1, 5),
    spoil: whole('SPOIL', 0, 0, 1) === 1,
  };
}
