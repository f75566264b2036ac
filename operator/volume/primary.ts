/**
 * Who may write to a volume's replicas: the agent of the node that it shall be attached to, or nobody, or for a while an agent that finishes what is left
 * to do. Every promotion raises the epoch, and that fences whoever was the primary before: so one that is gone needs no consent, and one that lives is
 * asked to let go first, so that nothing of its clients' is cut off.
 *
 *   nobody --promote--> serve --detached--> background --its last act--> nobody
 *                         +--moved, deleted--> release --its last act--> nobody
 *   any of them, when the agent is gone: epoch + 1, with the next primary or with none
 */
import { type Member, outOfSync, type PrimaryMode, type PrimaryRole, type Shard, type VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { releaseOf, waitMs } from '../observe/memory.ts';
import { createTaskOf } from './create.ts';
import { type Action, act, commit, configPart, type Decision, note, type PlacedVolume, type Step, type World } from './decision.ts';
import { takeOverEvent } from './events.ts';

export const wantedNode = (volume: PlacedVolume): NodeName | null => volume.object.spec.attachTo || null;

/** The very process that was promoted, not only its node. */
export const isAlive = (primary: PrimaryRole, world: World): boolean => world.machines.get(primary.node)?.instance === primary.instance;

function changed(
  volume: { config: PlacedVolume['config'] },
  after: VolumeConfig,
  operation: string,
  world: World,
  traceId: string,
): Action {
  const part = configPart(world.keys, volume.config, after);
  return commit(operation, traceId, part.conditions, part.changes);
}

function promote(volume: PlacedVolume, node: NodeName, mode: PrimaryMode, reason: string, world: World, traceId: string): Decision {
  const machine = world.machines.get(node);
  const before = volume.config.value;
  const epoch = before.epoch + 1;
  const primary = machine ? { node, instance: machine.instance, mode } : null;
  const after: VolumeConfig = { ...before, epoch, version: before.version + 1, primary };
  const operation = primary ? `promote ${node} (${mode}) to epoch ${epoch}` : `fence with epoch ${epoch}`;
  return act(mode === 'serve' ? 'attaching' : 'settling', reason, changed(volume, after, operation, world, traceId));
}

/** Nobody may write under the old epoch any more, and nobody may under the new one yet. */
export function fence(volume: { config: PlacedVolume['config'] }, reason: string, world: World, traceId: string): Decision {
  const before = volume.config.value;
  const after: VolumeConfig = { ...before, epoch: before.epoch + 1, version: before.version + 1, primary: null };
  return act('fencing', reason, changed(volume, after, `fence ${before.primary?.node} with epoch ${after.epoch}`, world, traceId));
}

export function setMode(
  volume: { config: PlacedVolume['config'] },
  mode: PrimaryMode,
  state: Decision['state'],
  reason: string,
  world: World,
  traceId: string,
): Decision {
  const before = volume.config.value;
  if (before.primary === null) return note(state, reason);
  const after: VolumeConfig = { ...before, version: before.version + 1, primary: { ...before.primary, mode } };
  return act(state, reason, changed(volume, after, `set the primary on ${before.primary.node} to ${mode}`, world, traceId));
}

/**
 * It may never get there, with too few replicas left to settle its last writes. Going on without its consent is safe: the next epoch fences it, and
 * what it could not settle was never acknowledged.
 */
export const RELEASE_PATIENCE_MS = 60_000;

export function isReleaseOverdue(config: VolumeConfig, world: World): boolean {
  const sinceMs = world.memory.releasingSinceMs.get(releaseOf(config)) ?? world.now.monotonicMs;
  return world.now.monotonicMs - sinceMs >= RELEASE_PATIENCE_MS;
}

const notHeardOf = (node: NodeName): string => `the agent of ${node} is not heard of`;

const isFailed = (member: Member, world: World): boolean =>
  world.machines.get(member.node)?.failedReplicas.some(({ replica }) => replica === member.replica) ?? false;

/** An agent that lives and holds a sound replica with every acknowledged write. */
const successorOf = (shard: Shard, world: World): NodeName | null =>
  shard.members.find((member) => shard.inSync.includes(member.replica) && world.machines.has(member.node) && !isFailed(member, world))
    ?.node ?? null;

function promoteAfter(
  volume: PlacedVolume,
  gone: PrimaryRole,
  node: NodeName,
  mode: PrimaryMode,
  reason: string,
  world: World,
  traceId: string,
): Decision {
  const decision = promote(volume, node, mode, reason, world, traceId);
  return {
    ...decision,
    actions: [...decision.actions, { kind: 'tell', event: takeOverEvent(gone.node, node, volume.config.value.epoch + 1) }],
  };
}

function replaceGone(volume: PlacedVolume, gone: PrimaryRole, world: World, traceId: string): Decision {
  const wanted = wantedNode(volume);
  const lost = `${notHeardOf(gone.node)} under its old instance`;
  if (wanted !== null && world.machines.has(wanted))
    return promoteAfter(volume, gone, wanted, 'serve', `${wanted} takes over: ${lost}`, world, traceId);
  if (wanted !== null)
    return fence(volume, `${notHeardOf(wanted)}; nobody serves the volume until it is back or spec.attachTo names another`, world, traceId);
  // What the one that is gone left in doubt is levelled now, not only at the next attachment.
  const [shard] = volume.config.value.shards;
  const successor = shard ? successorOf(shard, world) : null;
  return successor === null
    ? fence(volume, lost, world, traceId)
    : promoteAfter(volume, gone, successor, 'background', `${successor} finishes what ${gone.node} left: ${lost}`, world, traceId);
}

function keepAlive(volume: PlacedVolume, primary: PrimaryRole, world: World, traceId: string): Decision | null {
  const wanted = wantedNode(volume);
  if (primary.mode === 'release') {
    if (wanted === null || !world.machines.has(wanted) || !isReleaseOverdue(volume.config.value, world))
      return note('releasing', `${primary.node} is letting go`);
    return promote(
      volume,
      wanted,
      'serve',
      `${primary.node} did not let go in ${RELEASE_PATIENCE_MS / 1_000} s: ${wanted} takes over`,
      world,
      traceId,
    );
  }
  if (wanted === null && primary.mode === 'serve')
    return setMode(volume, 'background', 'releasing', `${primary.node} closes its socket`, world, traceId);
  if (wanted === null) return note('settling', `${primary.node} finishes what is left to do`);
  if (wanted !== primary.node) return setMode(volume, 'release', 'releasing', `${primary.node} lets go, ${wanted} is next`, world, traceId);
  if (primary.mode === 'background') return setMode(volume, 'serve', 'attaching', `${primary.node} opens its socket`, world, traceId);
  return null;
}

/** Gets the right primary, or fences the wrong one. Attached and well: null. */
export const primaryStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const { primary } = volume.config.value;
  if (primary !== null)
    return isAlive(primary, world) ? keepAlive(volume, primary, world, traceId) : replaceGone(volume, primary, world, traceId);
  const wanted = wantedNode(volume);
  if (wanted === null) return null;
  if (!world.machines.has(wanted))
    return note('unattachable', `${notHeardOf(wanted)}; nobody serves the volume until it is back or spec.attachTo names another`);
  return promote(volume, wanted, 'serve', `${wanted} is to serve it`, world, traceId);
};

const isMade = (volume: PlacedVolume, member: Member): boolean => {
  const task = createTaskOf(volume, member);
  return task === null || task.task.value.state === 'done';
};

/** What only a primary can do: bring a replica back that is made and reachable, or drop one that is leaving. */
export function workForPrimary(volume: PlacedVolume, shard: Shard, world: World): string | null {
  const learner = outOfSync(shard).find((member) => isMade(volume, member) && world.machines.has(member.node) && !isFailed(member, world));
  if (learner) return `the replica on ${learner.node} is out of sync`;
  const leaving = shard.members.find((member) => member.leaving && shard.inSync.includes(member.replica));
  return leaving ? `the replica on ${leaving.node} is leaving` : null;
}

/** As long as it is the same, another try would go as the last one did. */
const signatureOf = (shard: Shard, world: World): string =>
  JSON.stringify([
    shard.members.map((member) => [member.replica, member.leaving, world.machines.get(member.node)?.instance]),
    shard.inSync,
  ]);

/** A detached volume with work left gets a primary without a socket; one that led to nothing is tried again at growing intervals. */
export const backgroundStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const [shard] = volume.config.value.shards;
  if (!shard || volume.config.value.primary !== null || wantedNode(volume) !== null) return null;
  const work = workForPrimary(volume, shard, world);
  const node = successorOf(shard, world);
  if (work === null || node === null) return null;
  const what = `background/${volume.uid}`;
  const signature = signatureOf(shard, world);
  if (waitMs(world.memory, what, signature, world.now.monotonicMs) > 0)
    return note('settling', `${work}, and could not be brought back; tried again after a while`);
  const decision = promote(volume, node, 'background', `${work}: ${node} takes care of it`, world, traceId);
  return { ...decision, actions: [...decision.actions, { kind: 'noteSetback', what, signature }] };
};
