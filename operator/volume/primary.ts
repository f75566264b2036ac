/**
 * Who may write to a volume's replicas: the agent of the node that it shall be attached to, or nobody, or for a while an agent that finishes what is left
 * to do. Every promotion raises the epoch, and that fences whoever was the primary before: so one that is gone needs no consent, and one that lives is
 * asked to let go first, so that nothing of its clients' is cut off.
 *
 *   nobody --promote--> serve --detached--> background --its last act--> nobody
 *                         +--moved, deleted--> release --its last act--> nobody
 *   any of them, when the agent is gone: epoch + 1, with the next primary or with none
 */
import {
  attachmentFrom,
  type Member,
  outOfSync,
  type PrimaryMode,
  type PrimaryRole,
  type Shard,
  type VolumeConfig,
  withoutAttachment,
} from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { releaseOf, waitMs } from '../observe/memory.ts';
import { type Asking, askedAt, isPending, takeTaskOf } from '../snapshot/take.ts';
import { createTaskOf } from './create.ts';
import {
  type Action,
  act,
  commit,
  configPart,
  type Decision,
  join,
  note,
  type Part,
  type PlacedVolume,
  type Step,
  type World,
} from './decision.ts';
import { takeOverEvent } from './events.ts';
import { failureOf } from './shards.ts';

export const wantedNode = (volume: PlacedVolume): NodeName | null => volume.object.spec.attachTo || null;

/** The very process that was promoted, not only its node. */
export const isAlive = (primary: PrimaryRole, world: World): boolean => world.machines.get(primary.node)?.instance === primary.instance;

/** It may be promoted: one that is stopping would only let go again. */
function mayServe(node: NodeName, world: World): boolean {
  const machine = world.machines.get(node);
  return machine !== undefined && machine.stopping !== true;
}

function changed(
  volume: { config: PlacedVolume['config'] },
  after: VolumeConfig,
  operation: string,
  world: World,
  traceId: string,
  ...parts: readonly Part[]
): Action {
  const part = join(configPart(world.keys, volume.config, after), ...parts);
  return commit(operation, traceId, part.conditions, part.changes);
}

/** Served, its clients' attachment goes with it; in the background nobody's does, for it was detached; fenced or let go for a while, it stays as it is. */
function attachedBy(config: VolumeConfig, node: NodeName, mode: PrimaryMode, epoch: number, world: World): VolumeConfig {
  if (mode === 'background') return withoutAttachment(config);
  const machine = world.machines.get(node);
  return mode === 'serve' && machine ? { ...config, attachment: attachmentFrom(config, node, machine.bootId, epoch) } : config;
}

function promote(
  volume: PlacedVolume,
  node: NodeName,
  mode: PrimaryMode,
  reason: string,
  world: World,
  traceId: string,
  ...parts: readonly Part[]
): Decision {
  const machine = world.machines.get(node);
  const before = volume.config.value;
  const epoch = before.epoch + 1;
  const primary = machine ? { node, instance: machine.instance, mode } : null;
  const after: VolumeConfig = { ...attachedBy(before, node, mode, epoch, world), epoch, version: before.version + 1, primary };
  const operation = primary ? `promote ${node} (${mode}) to epoch ${epoch}` : `fence with epoch ${epoch}`;
  return act(mode === 'serve' ? 'attaching' : 'settling', reason, changed(volume, after, operation, world, traceId, ...parts));
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
  const { node } = before.primary;
  const primary = { ...before.primary, mode };
  const after: VolumeConfig = { ...attachedBy(before, node, mode, before.epoch, world), version: before.version + 1, primary };
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
const whyNot = (node: NodeName, world: World): string => (world.machines.has(node) ? `the agent of ${node} is stopping` : notHeardOf(node));

/** It holds every acknowledged write, and its agent lives. */
const isSound = (shard: Shard, member: Member, world: World): boolean =>
  shard.inSync.includes(member.replica) && world.machines.has(member.node) && failureOf(member, world) === null;

/** An agent that lives, is not stopping and holds the most sound replicas; null where there is none, or some shard has none anywhere: nobody could serve it. */
export function successorOf({ shards }: VolumeConfig, world: World): NodeName | null {
  const counts = new Map<NodeName, number>();
  for (const shard of shards) {
    const sound = shard.members.filter((member) => isSound(shard, member, world));
    if (sound.length === 0) return null;
    for (const { node } of sound) if (mayServe(node, world)) counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  return [...counts].find(([, count]) => count === most)?.[0] ?? null;
}

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
  if (wanted !== null && mayServe(wanted, world))
    return promoteAfter(volume, gone, wanted, 'serve', `${wanted} takes over: ${lost}`, world, traceId);
  if (wanted !== null)
    return fence(
      volume,
      `${whyNot(wanted, world)}; nobody serves the volume until it is back or spec.attachTo names another`,
      world,
      traceId,
    );
  // What the one that is gone left in doubt is levelled now, not only at the next attachment.
  const successor = successorOf(volume.config.value, world);
  return successor === null
    ? fence(volume, lost, world, traceId)
    : promoteAfter(volume, gone, successor, 'background', `${successor} finishes what ${gone.node} left: ${lost}`, world, traceId);
}

function keepAlive(volume: PlacedVolume, primary: PrimaryRole, world: World, traceId: string): Decision | null {
  const wanted = wantedNode(volume);
  // What a caretaker knows of wishes may be old: nothing is taken from clients for it.
  if (world.isCaretaker && primary.mode === 'serve') return null;
  if (primary.mode === 'release') {
    if (wanted === null || !mayServe(wanted, world) || !isReleaseOverdue(volume.config.value, world))
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
  if (!mayServe(wanted, world))
    return note('unattachable', `${whyNot(wanted, world)}; nobody serves the volume until it is back or spec.attachTo names another`);
  return promote(volume, wanted, 'serve', `${wanted} is to serve it`, world, traceId);
};

const isMade = (volume: PlacedVolume, member: Member): boolean => {
  const task = createTaskOf(volume, member);
  return task === null || task.task.value.state === 'done';
};

/** What only a primary can do: bring a replica back that is made and reachable, or drop one that is leaving. */
function workInShard(volume: PlacedVolume, shard: Shard, world: World): string | null {
  const learner = outOfSync(shard).find(
    (member) => isMade(volume, member) && world.machines.has(member.node) && failureOf(member, world) === null,
  );
  if (learner) return `the replica on ${learner.node} is out of sync`;
  const leaving = shard.members.find((member) => member.leaving && shard.inSync.includes(member.replica));
  return leaving ? `the replica on ${leaving.node} is leaving` : null;
}

function workForPrimary(volume: PlacedVolume, world: World): string | null {
  for (const shard of volume.config.value.shards) {
    const work = workInShard(volume, shard, world);
    if (work !== null) return work;
  }
  return null;
}

/** etcd takes 128 operations in a transaction; what is over waits for the next primary. */
const SNAPSHOTS_PER_TRANSACTION_MAX = 8;

/** Snapshots that can be asked for as soon as there is a primary. */
function snapshotsFor(volume: PlacedVolume, node: NodeName, world: World, traceId: string): { asked: Asking[]; signature: string } {
  if (world.isCaretaker) return { asked: [], signature: '' };
  const pending = (world.snapshots.byVolume.get(volume.uid) ?? []).filter((subject) => isPending(subject, world));
  const asked = pending.flatMap((subject) => askedAt(subject, node, world, traceId) ?? []).slice(0, SNAPSHOTS_PER_TRANSACTION_MAX);
  return { asked, signature: pending.map((subject) => `${subject.uid}#${takeTaskOf(subject)?.task.value.attempt ?? 0}`).join() };
}

/** As long as it is the same, another try would go as the last one did. */
const signatureOf = ({ shards }: VolumeConfig, world: World): string =>
  JSON.stringify(
    shards.map((shard) => [
      shard.members.map((member) => [member.replica, member.leaving, world.machines.get(member.node)?.instance]),
      shard.inSync,
    ]),
  );

/**
 * A detached volume with work left gets a primary without a socket; one that led to nothing is tried again at growing intervals. Snapshots are asked for in the
 * same transaction: one that found nothing to do would let go before it heard of them.
 */
export const backgroundStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const config = volume.config.value;
  if (config.primary !== null || wantedNode(volume) !== null) return null;
  const node = successorOf(config, world);
  if (node === null) return null;
  const snapshots = snapshotsFor(volume, node, world, traceId);
  const work = workForPrimary(volume, world) ?? (snapshots.asked.length > 0 ? 'a snapshot is to be taken' : null);
  if (work === null) return null;
  const what = `background/${volume.uid}`;
  const signature = `${signatureOf(config, world)}${snapshots.signature}`;
  if (waitMs(world.memory, what, signature, world.now.monotonicMs) > 0)
    return note('settling', `${work}, and it could not be done; tried again after a while`);
  const parts = snapshots.asked.flatMap(({ part }) => part ?? []);
  const decision = promote(volume, node, 'background', `${work}: ${node} takes care of it`, world, traceId, ...parts);
  const setbacks = snapshots.asked.flatMap((asking) => asking.setbacks);
  return { ...decision, actions: [...decision.actions, { kind: 'noteSetback', what, signature }, ...setbacks] };
};
