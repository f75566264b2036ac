/**
 * A replica's files as they outlive processes, and as the checkers see them. Either a platter with a store of the simulator's own over it (quick), or
 * the store that ships on a simulated disk.
 */
import type { ReplicaMeta, ReplicaStore } from '../../agent/ports.ts';
import type { SeededRandom } from '../support/seededRandom.ts';

/** When and whether things come to an end, in the process that has it open. */
export type StoreTiming = {
  random: SeededRandom;
  /** Runs `act` after a while, if the process is still there. */
  later: (delayMs: number, label: string, act: () => void) => void;
  usualMs: number;
  completesAtOnce: number;
  /** Nothing more fits on the disk. */
  isFull: () => boolean;
  /** Whether this flush fails. */
  flushFails: () => boolean;
};

export interface ReplicaFiles {
  readonly shard: number;
  /** As the process has it that has it open, else as the next would find it. */
  readonly meta: ReplicaMeta;
  readonly extents: number;
  isLogged(extent: number): boolean;
  /** Whether it is in the log, or may be there again after a power loss: that it was taken out is not durable yet. */
  mayBeLogged(extent: number): boolean;
  readonly logged: readonly number[];
  stamp(extent: number): number;
  /** What a piece (layout.ts) holds in the cache; -1: something that nobody wrote so. */
  value(piece: number): number;
  /** The same, of what would be left by the worst power loss. */
  durableValue(piece: number): number;
  /** The pieces of an extent that were ever written. */
  written(extent: number): Iterable<number>;

  /** A process opens it. It answers nobody before that it was open is durable. Null: it has failed, as its meta says, and is not opened again. */
  open(bootId: string, timing: StoreTiming, opened: (store: ReplicaStore | null) => void): void;
  /** The end of an event of that process. */
  pump(): void;
  /** The process is gone. What it had begun may have reached the cache or not. */
  killed(random: SeededRandom): void;
  /** Any subset of what was not durable is gone. Returns how many blocks were torn. */
  powerLost(random: SeededRandom, tears: boolean): number;
  /** A piece is changed on the disk, behind everybody's back. */
  rot(piece: number, value: number): void;
}

/** Whether two replicas hold the same in an extent. */
export function isEqual(one: ReplicaFiles, other: ReplicaFiles, extent: number): boolean {
  for (const piece of one.written(extent)) if (one.value(piece) !== other.value(piece)) return false;
  for (const piece of other.written(extent)) if (one.value(piece) !== other.value(piece)) return false;
  return true;
}
