/**
 * What people see of a volume: phase, conditions, replicas. A pure function of what was observed and decided, and of the status before (which holds since when
 * a condition is so). Must never feed back into a decision.
 */
import { isFresh, isLossUnseen, lossSentence, type Shard, type VolumeConfig } from '../../core/config.ts';
import type { VolumeObject } from '../api.ts';
import { conditionOf, conditionsOf, type Judgement, toSeconds } from '../conditions.ts';
import type { VolumeStatus, VolumeStatusReplica } from '../generated/volume.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import type { NodeReason } from '../placement/place.ts';
import { formatBytes, formatExact, parseQuantity } from '../quantity.ts';
import { wantedSizeBytes } from './create.ts';
import type { Decision, World } from './decision.ts';
import { nodeNamed } from './departures.ts';
import { aheadOf } from './outdated.ts';
import { attachmentOf, currentReport, replicasOf } from './replicas.ts';
import { scrubOf } from './scrub.ts';

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
  /** Of each shard. */
  shards: readonly ShardFacts[];
  /** Of the shard with the fewest. */
  inSyncCount: number;
};

type ShardFacts = { inSyncCount: number; reachableCount: number; neededCount: number };

function shardFacts(
  config: VolumeConfig,
  { inSync }: Shard,
  index: number,
  replicas: readonly VolumeStatusReplica[],
  world: World,
): ShardFacts {
  const ones = replicas.filter(
    ({ shard, name, state }) => shard === index && state === 'InSync' && inSync.some((replica) => replica === name),
  );
  return {
    inSyncCount: ones.length,
    reachableCount: ones.filter(({ node }) => world.machines.has(node)).length,
    neededCount: Math.min(config.minInSync, inSync.length),
  };
}

function factsOf(volume: Seen, decision: Decision, world: World): Facts {
  const replicas = replicasOf(volume, world).filter(({ state }) => state !== 'Leaving');
  const config = volume.config?.value;
  const shards = config?.shards.map((shard, index) => shardFacts(config, shard, index, replicas, world)) ?? [];
  return {
    volume,
    decision,
    world,
    wanted: volume.object.metadata.deletionTimestamp ? null : volume.object.spec.attachTo || null,
    attachment: attachmentOf(volume, world),
    replicas,
    shards,
    inSyncCount: shards.length === 0 ? 0 : Math.min(...shards.map(({ inSyncCount }) => inSyncCount)),
  };
}

const wantedReplicas = ({ volume }: Facts): number => volume.object.spec.replicas;
const share = (facts: Facts): string => `${facts.inSyncCount}/${wantedReplicas(facts)}`;
/** `node-b: its agent is not heard of` for each replica that is not as it should be; replicas of a node that are so alike are named once. */
function troubles({ replicas }: Facts): string {
  const words = replicas
    .filter(({ state, reason }) => state !== 'InSync' || reason)
    .map(({ node, state, reason }) => {
      const learners = replicas.filter((replica) => replica.node === node && replica.state === 'Learner');
      return `${node}: ${reason ?? (state === 'Learner' ? catchesUp(learners) : 'is being made')}`;
    });
  return [...new Set(words)].join('; ');
}

/** `catches up, 49Mi left, about 12 s`; in words alone while nothing is known. */
function catchesUp(learners: readonly VolumeStatusReplica[]): string {
  const progresses = learners.flatMap(({ progress }) => progress ?? []);
  const leftBytes = progresses.reduce((sum, { doneBytes, totalBytes }) => sum + Math.max(0, totalBytes - doneBytes), 0);
  if (leftBytes === 0) return 'catches up';
  const seconds = progresses.flatMap(({ secondsLeft }) => secondsLeft ?? []);
  return `catches up, ${formatBytes(leftBytes)} left${seconds.length === 0 ? '' : `, about ${Math.max(...seconds)} s`}`;
}

/** As `catchesUp` writes it. */
const AMOUNTS_LEFT = /catches up, [^;)]*/g;

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
  const config = volume.config?.value;
  if (config && isLossUnseen(config)) return { phase: 'Unavailable', reason: 'PowerLost', message: lossSentence(config) };
  const report = currentReport(volume, world);
  if (report?.state === 'stalled')
    return { phase: 'Unavailable', reason: 'Stalled', message: `I/O waits: ${report.reason ?? 'no reason given'}` };
  if (attachment?.node === wanted) return null;
  const isReport = report?.node === wanted && report.reason !== undefined;
  const message = isReport ? `${wanted} does not serve it yet: ${report.reason}` : decision.reason;
  if (decision.state === 'unattachable' || decision.state === 'fencing') return { phase: 'Unavailable', reason: 'NodeGone', message };
  return { phase: isFirstAttachment(facts) ? 'Creating' : 'Unavailable', reason: 'Attaching', message };
}

const inShard = ({ shards }: Facts, index: number): string => (shards.length === 1 ? '' : ` of shard ${index}`);

function tooFew(facts: Facts): Judged | null {
  const index = facts.shards.findIndex(({ reachableCount, neededCount }) => reachableCount < neededCount);
  const shard = facts.shards[index];
  if (facts.attachment || !shard) return null;
  const { reachableCount, neededCount } = shard;
  const message = `${reachableCount} of the replicas${inShard(facts, index)} in sync can be reached, ${neededCount} are needed: ${troubles(facts)}`;
  return { phase: 'Unavailable', reason: 'TooFewReplicas', message };
}

/** The reason of `Ready` and `Healthy` where it is only Degraded because people have nodes in maintenance: nobody is to be called for that. */
export const PLANNED = 'Maintenance';

/** As many replicas as asked for, and each that is not well lies on such a node. */
function isPlanned(facts: Facts): boolean {
  const { replicas, world, volume } = facts;
  const unwell = replicas.filter(({ state, node }) => state !== 'InSync' || !world.machines.has(node));
  const isComplete = replicas.length === wantedReplicas(facts) * (volume.config?.value.shards.length ?? 0);
  return (
    isComplete &&
    unwell.length > 0 &&
    unwell.every(({ node, state }) => state !== 'Failed' && nodeNamed(node, world)?.spec?.maintenance === true)
  );
}

function notAllInSync(facts: Facts): Judged | null {
  const { shards, decision } = facts;
  const isWell = ({ inSyncCount, reachableCount }: ShardFacts) => inSyncCount >= wantedReplicas(facts) && reachableCount === inSyncCount;
  if (shards.length > 0 && shards.every(isWell)) return null;
  const why = troubles(facts) || decision.reason;
  const reachableCount = Math.min(...shards.map((shard) => shard.reachableCount));
  // In sync it is until somebody writes without it: said alone, that would read as if all were well.
  const reach = reachableCount < facts.inSyncCount ? `, ${reachableCount} can be reached` : '';
  return { phase: 'Degraded', reason: isPlanned(facts) ? PLANNED : 'OutOfSync', message: `${share(facts)} in sync${reach} (${why})` };
}

const pendingReason = ({ state }: Decision): string =>
  state === 'unschedulable' ? 'Unschedulable' : state === 'waiting' ? 'SourceNotReady' : 'Placing';

/** Ordered: the first that applies is the phase. */
const PHASES: readonly ((facts: Facts) => Judged | null)[] = [
  ({ volume, decision }) =>
    volume.object.metadata.deletionTimestamp ? { phase: 'Deleting', reason: 'Deleting', message: decision.reason } : null,
  ({ volume, decision }) => (volume.damage === null ? null : { phase: 'Failed', reason: 'DamagedConfig', message: decision.reason }),
  ({ decision }) => (decision.state === 'unsupported' ? { phase: 'Failed', reason: 'NotSupported', message: decision.reason } : null),
  ({ decision }) => (decision.state === 'unrecorded' ? { phase: 'Failed', reason: 'ConfigLost', message: decision.reason } : null),
  ({ decision }) => (decision.state === 'outdated' ? { phase: 'Failed', reason: 'StoreOutdated', message: decision.reason } : null),
  ({ decision }) => (decision.state === 'lost' ? { phase: 'Failed', reason: 'AllReplicasFailed', message: decision.reason } : null),
  ({ volume, decision }) => (volume.config ? null : { phase: 'Pending', reason: pendingReason(decision), message: decision.reason }),
  ({ volume, decision }) =>
    volume.config && isFresh(volume.config.value) ? { phase: 'Creating', reason: 'Creating', message: decision.reason } : null,
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
  if (volume.config === null)
    return { type, holds: false, reason: decision.state === 'waiting' ? 'SourceNotReady' : 'NotPlaced', message: decision.reason };
  return {
    type,
    holds: true,
    reason: 'Placed',
    message: `replicas on ${[...new Set(replicas.map(({ node, pool }) => `${node}/${pool}`))].join(', ')}`,
  };
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

/**
 * What it offers now. A volume that nobody serves offers what it last did, or all of its config if it never grew; one that is not placed yet will offer what is
 * asked. An epoch stands in the status from its first config on: a size without one was asked, and never offered.
 */
function sizeBytesOf({ volume, world }: Facts): number | null {
  const { status } = volume.object;
  const offered = status?.epoch === undefined ? null : parseQuantity(status.size ?? '');
  const config = volume.config?.value;
  if (!config) return offered ?? wantedSizeBytes(volume.object);
  return Math.min(config.sizeBytes, currentReport(volume, world)?.sizeBytes ?? offered ?? config.sizeBytes);
}

/** What was asked for and is not done yet must be said, not ignored. */
function resizing(facts: Facts): Judgement[] {
  const { volume, world, attachment } = facts;
  const type = 'Resizing';
  const trouble = world.growTroubles.get(volume.uid);
  if (trouble !== undefined) return [{ type, holds: false, reason: 'NoRoom', message: trouble }];
  const asked = wantedSizeBytes(volume.object);
  const offered = sizeBytesOf(facts);
  if (volume.config === null || asked === null || offered === null || asked <= offered) return [];
  const amount = `from ${formatExact(offered)} to ${formatExact(asked)}`;
  const stuck = currentReport(volume, world)?.growthTrouble;
  if (stuck !== undefined)
    return [
      { type, holds: false, reason: 'NoRoom', message: `it stays at ${formatExact(offered)}, ${formatExact(asked)} asked: ${stuck}` },
    ];
  const how = attachment ? `it grows ${amount}, replica by replica` : `it grows ${amount} when it is attached`;
  return [{ type, holds: true, reason: attachment ? 'Growing' : 'NotAttached', message: how }];
}

/** Only said when it does not hold. */
function consistent({ volume }: Facts): Judgement[] {
  const { unresolvedBlocks = 0, unresolvedExtents = [] } = volume.scrub ?? {};
  if (unresolvedBlocks === 0) return [];
  const blocks = unresolvedBlocks === 1 ? '1 block of 4Ki differs' : `${unresolvedBlocks} blocks of 4Ki differ`;
  const where = unresolvedExtents.map(({ shard, extent }) => `${extent} of shard ${shard}`).join(', ');
  const message = `${blocks} between replicas, and no majority says what is right${where === '' ? '' : `: extent ${where}`}`;
  return [{ type: 'Consistent', holds: false, reason: 'BlocksDiffer', message }];
}

function judgements(facts: Facts, { phase, reason, message }: Judged): Judgement[] {
  const isUsable = phase === 'Healthy' || phase === 'Degraded';
  return [
    { type: 'Ready', holds: isUsable, reason, message },
    scheduled(facts),
    attached(facts),
    healthy(facts),
    ...resizing(facts),
    ...consistent(facts),
  ];
}

/** Of a thousand nodes people read none: an object shall not be as large as that, and ten thousand volumes may wait. */
export const UNSCHEDULABLE_MAX = 100;

/** Every reason that there is, as far as there is room, each for some of its nodes. */
export function foremost(reasons: readonly NodeReason[]): NodeReason[] {
  if (reasons.length <= UNSCHEDULABLE_MAX) return [...reasons];
  const groups = [...Map.groupBy(reasons, ({ reason }) => reason).values()];
  const chosen = new Set<NodeReason>();
  for (let turn = 0; chosen.size < UNSCHEDULABLE_MAX; turn++) {
    for (const group of groups.slice(0, UNSCHEDULABLE_MAX)) {
      const next = group[turn];
      if (next && chosen.size < UNSCHEDULABLE_MAX) chosen.add(next);
    }
    if (turn >= UNSCHEDULABLE_MAX) break;
  }
  return reasons.filter((reason) => chosen.has(reason));
}

/** Where etcd forgot it, or was restored from a backup, the highest that anybody knows of stays: that it is not new, and not to be promoted, is told by it. */
function epochOf(volume: Seen, { state }: Decision): Pick<VolumeStatus, 'epoch'> {
  const { object, config } = volume;
  if (state === 'unrecorded') return object.status?.epoch === undefined ? {} : { epoch: object.status.epoch };
  return config === null ? {} : { epoch: Math.max(config.value.epoch, aheadOf(volume)?.epoch ?? 0) };
}

export function statusOf(volume: Seen, decision: Decision, world: World): VolumeStatus {
  const facts = factsOf(volume, decision, world);
  const judged = judge(facts);
  const { generation } = volume.object.metadata;
  const config = volume.config?.value;
  const size = sizeBytesOf(facts);
  return {
    phase: judged.phase,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(size === null ? {} : { size: formatExact(size) }),
    inSync: share(facts),
    ...epochOf(volume, decision),
    ...(config?.primary ? { primary: config.primary.node } : {}),
    ...(facts.attachment ? { attachment: { ...facts.attachment, since: toSeconds(Date.parse(facts.attachment.since)) } } : {}),
    replicas: replicasOf(volume, world),
    ...(config && volume.scrub ? { scrub: scrubOf(volume.scrub, config, volume.object.status?.scrub) } : {}),
    ...(decision.unschedulable.length > 0 ? { unschedulable: foremost(decision.unschedulable) } : {}),
    conditions: conditionsOf(judgements(facts, judged), volume.object.status?.conditions ?? [], world.now.wallMs, generation),
  };
}

/** What is on its way somewhere says how far it is. */
const UNDER_WAY: readonly (VolumeStatus['phase'] | undefined)[] = ['Creating', 'Deleting'];

/** The same but for how far learners, the scrub, its making and its deletion are: that changes all the time and is written less often. */
export function withoutProgress(status: VolumeStatus): VolumeStatus {
  const replicas = status.replicas?.map(({ progress: _, ...replica }) => replica);
  const scrub = status.scrub ? { ...status.scrub, position: '' } : undefined;
  const conditions = status.conditions?.map((condition) => ({
    ...condition,
    message: UNDER_WAY.includes(status.phase) ? '' : condition.message.replace(AMOUNTS_LEFT, 'catches up'),
  }));
  return { ...status, ...(replicas ? { replicas } : {}), ...(scrub ? { scrub } : {}), ...(conditions ? { conditions } : {}) };
}

export const isPlannedOnly = ({ phase, conditions }: VolumeStatus): boolean =>
  phase === 'Degraded' && conditionOf(conditions, 'Ready')?.reason === PLANNED;
export const phaseOf = (status: VolumeStatus | undefined): Phase | null => status?.phase ?? null;
