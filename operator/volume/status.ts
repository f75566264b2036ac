/**
 * What people see of a volume: phase, conditions, replicas. A pure function of what was observed and decided, and of the status before (which holds since when
 * a condition is so). Must never feed back into a decision.
 */
import type { VolumeObject } from '../api.ts';
import { conditionsOf, type Judgement, toSeconds } from '../conditions.ts';
import type { VolumeStatus, VolumeStatusReplica } from '../generated/volume.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { formatBytes, formatNeeded } from '../quantity.ts';
import { wantedSizeBytes } from './create.ts';
import type { Decision, World } from './decision.ts';
import { attachmentOf, currentReport, replicasOf } from './replicas.ts';

export type Phase = NonNullable<VolumeStatus['phase']>;
type Judged = { phase: Phase; reason: string; message: string };
type Seen = ObservedVolume & { object: VolumeObject };

/** All that phase and conditions look at, gathered once. */
type Facts = {
  volume: Seen;
  decision: Decision;
  world: World;
  wanted: string | null;
  attachment: VolumeStatus['attachment'] | null;
  /** Of members that stay. */
  replicas: readonly VolumeStatusReplica[];
  inSyncCount: number;
  reachableInSyncCount: number;
};

function factsOf(volume: Seen, decision: Decision, world: World): Facts {
  const replicas = replicasOf(volume, world).filter(({ state }) => state !== 'Leaving');
  const inSync = volume.config?.value.shards[0]?.inSync ?? [];
  const inSyncOnes = replicas.filter(({ name }) => inSync.some((replica) => replica === name));
  return {
    volume,
    decision,
    world,
    wanted: volume.object.metadata.deletionTimestamp ? null : volume.object.spec.attachTo || null,
    attachment: attachmentOf(volume, world),
    replicas,
    inSyncCount: inSyncOnes.filter(({ state }) => state === 'InSync').length,
    reachableInSyncCount: inSyncOnes.filter(({ node, state }) => state === 'InSync' && world.machines.has(node)).length,
  };
}

const wantedReplicas = ({ volume }: Facts): number => volume.object.spec.replicas;
const share = (facts: Facts): string => `${facts.inSyncCount}/${wantedReplicas(facts)}`;
/** `node-b: its agent is not heard of` for each replica that is not as it should be. */
const troubles = ({ replicas }: Facts): string =>
  replicas
    .filter(({ state, reason }) => state !== 'InSync' || reason)
    .map(({ node, state, reason }) => `${node}: ${reason ?? (state === 'Learner' ? 'catches up' : 'is being made')}`)
    .join('; ');

/** Never served yet: the way to the first attachment is still part of making it. */
function isFirstAttachment({ volume, wanted }: Facts): boolean {
  const before = volume.object.status?.phase;
  return (
    wanted !== null && (volume.config?.value.epoch ?? 0) <= 1 && (before === undefined || before === 'Pending' || before === 'Creating')
  );
}

function notServed(facts: Facts): Judged | null {
  const { volume, wanted, attachment, decision, world } = facts;
  if (wanted === null) return null;
  const report = currentReport(volume, world);
  if (report?.state === 'stalled')
    return { phase: 'Unavailable', reason: 'Stalled', message: `I/O waits: ${report.reason ?? 'no reason given'}` };
  if (attachment?.node === wanted) return null;
  const isReport = report?.node === wanted && report.reason !== undefined;
  const message = isReport ? `${wanted} does not serve it yet: ${report.reason}` : decision.reason;
  if (decision.state === 'unattachable' || decision.state === 'fencing') return { phase: 'Unavailable', reason: 'NodeGone', message };
  return { phase: isFirstAttachment(facts) ? 'Creating' : 'Unavailable', reason: 'Attaching', message };
}

function tooFew(facts: Facts): Judged | null {
  const { volume, reachableInSyncCount } = facts;
  const needed = Math.min(volume.config?.value.minInSync ?? 1, volume.config?.value.shards[0]?.inSync.length ?? 0);
  if (facts.attachment || reachableInSyncCount >= needed) return null;
  const message = `${reachableInSyncCount} of the replicas in sync can be reached, ${needed} are needed: ${troubles(facts)}`;
  return { phase: 'Unavailable', reason: 'TooFewReplicas', message };
}

function notAllInSync(facts: Facts): Judged | null {
  const { inSyncCount, reachableInSyncCount, decision } = facts;
  if (inSyncCount >= wantedReplicas(facts) && reachableInSyncCount === inSyncCount) return null;
  const why = troubles(facts) || decision.reason;
  return { phase: 'Degraded', reason: 'OutOfSync', message: `${share(facts)} in sync (${why})` };
}

/** Ordered: the first that applies is the phase. */
const PHASES: readonly ((facts: Facts) => Judged | null)[] = [
  ({ volume, decision }) =>
    volume.object.metadata.deletionTimestamp ? { phase: 'Deleting', reason: 'Deleting', message: decision.reason } : null,
  ({ volume, decision }) => (volume.damage === null ? null : { phase: 'Failed', reason: 'DamagedConfig', message: decision.reason }),
  ({ decision }) => (decision.state === 'unsupported' ? { phase: 'Failed', reason: 'NotSupported', message: decision.reason } : null),
  ({ decision }) => (decision.state === 'lost' ? { phase: 'Failed', reason: 'AllReplicasFailed', message: decision.reason } : null),
  ({ volume, decision }) =>
    volume.config
      ? null
      : { phase: 'Pending', reason: decision.state === 'unschedulable' ? 'Unschedulable' : 'Placing', message: decision.reason },
  ({ volume, decision }) =>
    volume.config?.value.shards[0]?.inSync.length === 0 ? { phase: 'Creating', reason: 'Creating', message: decision.reason } : null,
  notServed,
  tooFew,
  notAllInSync,
];

function judge(facts: Facts): Judged {
  for (const phase of PHASES) {
    const judged = phase(facts);
    if (judged !== null) return judged;
  }
  const where = facts.attachment ? `served on ${facts.attachment.node}` : 'served nowhere';
  return { phase: 'Healthy', reason: 'Healthy', message: `${share(facts)} in sync, ${where}` };
}

function scheduled({ volume, decision, replicas }: Facts): Judgement {
  const type = 'Scheduled';
  if (decision.unschedulable.length > 0) return { type, holds: false, reason: 'Unschedulable', message: decision.reason };
  if (volume.config === null) return { type, holds: false, reason: 'NotPlaced', message: decision.reason };
  return { type, holds: true, reason: 'Placed', message: `replicas on ${replicas.map(({ node, pool }) => `${node}/${pool}`).join(', ')}` };
}

function attached(facts: Facts): Judgement {
  const { wanted, attachment } = facts;
  const type = 'Attached';
  if (attachment && attachment.node === wanted)
    return { type, holds: true, reason: 'Served', message: `${attachment.node} serves it at ${attachment.socket}` };
  if (wanted === null) return { type, holds: false, reason: 'NotAsked', message: 'spec.attachTo names no node' };
  const judged = notServed(facts);
  return { type, holds: false, reason: judged?.reason ?? 'Attaching', message: judged?.message ?? facts.decision.reason };
}

function healthy(facts: Facts): Judgement {
  const type = 'Healthy';
  if (facts.volume.config === null) return { type, holds: 'unknown', reason: 'NotPlaced', message: 'it has no replicas yet' };
  const judged = notAllInSync(facts);
  return { type, holds: judged === null, reason: judged?.reason ?? 'AllInSync', message: judged?.message ?? `${share(facts)} in sync` };
}

/** What was asked for and is not done yet must be said, not ignored. */
function unmet({ volume }: Facts): Judgement[] {
  const judgements: Judgement[] = [];
  const askedBytes = wantedSizeBytes(volume.object);
  const sizeBytes = volume.config?.value.sizeBytes;
  if (askedBytes !== null && sizeBytes !== undefined && askedBytes > sizeBytes) {
    const message = `growing is not supported yet: it stays at ${formatBytes(sizeBytes)}, asked ${formatNeeded(askedBytes)}`;
    judgements.push({ type: 'Resized', holds: false, reason: 'NotSupported', message });
  }
  const { iops, bytesPerSecond } = volume.object.spec.limits;
  if (iops > 0 || bytesPerSecond > 0) {
    judgements.push({ type: 'Limited', holds: false, reason: 'NotSupported', message: 'spec.limits is not enforced yet' });
  }
  return judgements;
}

function judgements(facts: Facts, { phase, reason, message }: Judged): Judgement[] {
  const isUsable = phase === 'Healthy' || phase === 'Degraded';
  return [{ type: 'Ready', holds: isUsable, reason, message }, scheduled(facts), attached(facts), healthy(facts), ...unmet(facts)];
}

export function statusOf(volume: Seen, decision: Decision, world: World): VolumeStatus {
  const facts = factsOf(volume, decision, world);
  const judged = judge(facts);
  const { generation } = volume.object.metadata;
  const config = volume.config?.value;
  return {
    phase: judged.phase,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    inSync: share(facts),
    ...(config ? { epoch: config.epoch } : {}),
    ...(config?.primary ? { primary: config.primary.node } : {}),
    ...(facts.attachment ? { attachment: { ...facts.attachment, since: toSeconds(Date.parse(facts.attachment.since)) } } : {}),
    replicas: replicasOf(volume, world),
    ...(decision.unschedulable.length > 0 ? { unschedulable: [...decision.unschedulable] } : {}),
    conditions: conditionsOf(judgements(facts, judged), volume.object.status?.conditions ?? [], world.now.wallMs, generation),
  };
}

/** The same but for how far learners are: those numbers change all the time and are written less often. */
export function withoutProgress(status: VolumeStatus): VolumeStatus {
  const replicas = status.replicas?.map(({ progress: _, ...replica }) => replica);
  return replicas ? { ...status, replicas } : status;
}

export const phaseOf = (status: VolumeStatus | undefined): Phase | null => status?.phase ?? null;
