/**
 * What a leader remembers from pass to pass: since when something is so, and how often something went wrong. Never needed for safety: a new leader
 * starts without it and only waits again from the beginning. Pure.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { Task } from '../../core/task.ts';

export type Setback = {
  count: number;
  lastMs: number;
  /** What the world looked like: when it looks different, the next try need not wait. */
  signature: string;
};

export type Memory = {
  /** Nodes that should have an agent and do not. */
  machineGoneSinceMs: ReadonlyMap<NodeName, number>;
  /** Tasks by `sightingOf`. */
  taskSinceMs: ReadonlyMap<string, number>;
  /** Primaries that were asked to let go, by `releaseOf`. */
  releasingSinceMs: ReadonlyMap<string, number>;
  /** By what was tried: `background/<uid>`, `create/<uid>/<node>`, `task/<id>`. */
  setbacks: ReadonlyMap<string, Setback>;
};

export const emptyMemory: Memory = {
  machineGoneSinceMs: new Map(),
  taskSinceMs: new Map(),
  releasingSinceMs: new Map(),
  setbacks: new Map(),
};

/** A setback without a successor for so long is forgotten; also bounds the map. */
const SETBACK_FORGOTTEN_MS = 3_600_000;
const BACK_OFF_FIRST_MS = 5_000;
const BACK_OFF_MAX_MS = 300_000;
/** Beyond it the power is the maximum anyway. */
const DOUBLINGS_MAX = 16;

/** One attempt of a task in one state. */
export const sightingOf = (task: Task): string => `${task.id}#${task.attempt}#${task.state}`;

/** One primary being asked to let go. */
export const releaseOf = ({ uid, epoch }: VolumeConfig): string => `${uid}#${epoch}`;

const backOffMs = (setback: Setback): number =>
  Math.min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(DOUBLINGS_MAX, setback.count - 1));

/** Milliseconds until `what` may be tried again; 0: now. */
export function waitMs(memory: Memory, what: string, signature: string, nowMs: number): number {
  const setback = memory.setbacks.get(what);
  if (!setback || setback.signature !== signature) return 0;
  return Math.max(0, setback.lastMs + backOffMs(setback) - nowMs);
}

export function withSetback(memory: Memory, what: string, signature: string, nowMs: number): Memory {
  const before = memory.setbacks.get(what);
  const count = before?.signature === signature ? before.count + 1 : 1;
  return { ...memory, setbacks: new Map([...memory.setbacks, [what, { count, lastMs: nowMs, signature }]]) };
}

const carry = (keys: Iterable<string>, before: ReadonlyMap<string, number>, nowMs: number): Map<string, number> =>
  new Map([...keys].map((key) => [key, before.get(key) ?? nowMs]));

export type Sightings = { missingNodes: Iterable<NodeName>; tasks: Iterable<Task>; releases: Iterable<string> };

/** What is still so keeps its time, what is new gets this one, what is over is forgotten. */
export function remember(memory: Memory, seen: Sightings, nowMs: number): Memory {
  return {
    machineGoneSinceMs: carry(seen.missingNodes, memory.machineGoneSinceMs, nowMs),
    taskSinceMs: carry([...seen.tasks].map(sightingOf), memory.taskSinceMs, nowMs),
    releasingSinceMs: carry(seen.releases, memory.releasingSinceMs, nowMs),
    setbacks: new Map([...memory.setbacks].filter(([, setback]) => nowMs - setback.lastMs < SETBACK_FORGOTTEN_MS)),
  };
}
