/**
 * Whether a node may be no part of the cluster any more: somebody deleted its StorageNode. It may when nothing depends on what lies there: no volume names it, and no
 * task waits for it. Pure. Must never call a node done whose agent runs: it would only register again.
 */
import type { NodeName } from '../../core/ids.ts';
import type { Observed, ObservedVolume } from '../observe/observed.ts';
import type { World } from '../volume/decision.ts';
import { isSound } from '../volume/replace.ts';

export type Removal = {
  isDone: boolean;
  reason: 'AgentRuns' | 'LastReplica' | 'ReplicasLeft' | 'TasksLeft' | 'NothingLeft';
  message: string;
};

const NAMES_MAX = 5;

export function namesOf(volumes: readonly ObservedVolume[]): string {
  const names = volumes.slice(0, NAMES_MAX).map(({ uid, config, object }) => object?.metadata.name ?? config?.value.name ?? uid);
  return `${names.join(', ')}${volumes.length > NAMES_MAX ? ` and ${volumes.length - NAMES_MAX} more` : ''}`;
}

const isOn = (node: NodeName) => (volume: ObservedVolume) => {
  const config = volume.config?.value;
  return (
    config !== undefined && (config.primary?.node === node || config.shards.some(({ members }) => members.some((one) => one.node === node)))
  );
};

/** Some shard has a replica there, and nowhere else one that holds everything and answers. */
const hasLastOn = (node: NodeName, world: World) => (volume: ObservedVolume) =>
  (volume.config?.value.shards ?? []).some(
    (shard) =>
      shard.members.some((member) => member.node === node) &&
      !shard.members.some((member) => member.node !== node && isSound(member, shard, world)),
  );

/** Snapshots of which something lies there. */
export const snapshotsOn = (node: NodeName, { volumes }: Pick<Observed, 'volumes'>): number =>
  [...volumes.values()].reduce(
    (sum, { snapshots }) => sum + [...snapshots.values()].filter(({ value }) => value.replicas.some((part) => part.node === node)).length,
    0,
  );

/** A snapshot that would be in pieces without it. */
const hasLastPartOn = (node: NodeName) => (volume: ObservedVolume) =>
  [...volume.snapshots.values()].some(({ value: { replicas } }) => {
    const elsewhere = new Set(replicas.filter((part) => part.node !== node).map(({ shard }) => shard));
    return replicas.some(({ shard }) => !elsewhere.has(shard));
  });

export function removalOf(node: NodeName, observed: Pick<Observed, 'volumes' | 'machines'>, world: World): Removal {
  const volumes = [...observed.volumes.values()];
  const left = volumes.filter(isOn(node));
  const last = left.filter(hasLastOn(node, world));
  const inPieces = volumes.filter(hasLastPartOn(node));
  const isRunning = observed.machines.has(node);
  if (last.length > 0 && !isRunning) {
    const message = `it holds the last replica that is sound of ${namesOf(last)}: bring it back, or delete the volume`;
    return { isDone: false, reason: 'LastReplica', message };
  }
  if (inPieces.length > 0) {
    const message = `it holds the last part of a snapshot of ${namesOf(inPieces)}: delete the snapshot`;
    return { isDone: false, reason: 'LastReplica', message };
  }
  if (left.length > 0)
    return { isDone: false, reason: 'ReplicasLeft', message: `replicas have still to be made elsewhere: ${namesOf(left)}` };
  if (isRunning) return { isDone: false, reason: 'AgentRuns', message: 'its agent still runs: stop it' };
  const waiting = volumes.filter(({ tasks }) => tasks.some(({ task }) => task.value.node === node));
  if (waiting.length > 0) return { isDone: false, reason: 'TasksLeft', message: `its tasks are put away: ${namesOf(waiting)}` };
  return { isDone: true, reason: 'NothingLeft', message: 'nothing of it is left' };
}
