/** What people see of each replica, and the facts about a volume that phase and conditions are made of. Pure. */
import type { Member, Shard } from '../../core/config.ts';
import type { ReplicaProgress, ServingReport } from '../../core/machine.ts';
import type { VolumeStatusAttachment, VolumeStatusReplica, VolumeStatusReplicaProgress } from '../generated/volume.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { createTaskOf } from './create.ts';
import type { World } from './decision.ts';
import { isAlive } from './primary.ts';
import { failureOf, quarantineOf } from './shards.ts';

/** The primary's report, if it is of this epoch and by the very process that is the primary: anything else speaks of the past. */
export function currentReport(volume: ObservedVolume, world: World): ServingReport | null {
  const { serving, config } = volume;
  const primary = config?.value.primary ?? null;
  if (serving === null || primary === null || !isAlive(primary, world)) return null;
  return serving.epoch === config?.value.epoch && serving.instance === primary.instance ? serving : null;
}

export function attachmentOf(volume: ObservedVolume, world: World): VolumeStatusAttachment | null {
  const report = currentReport(volume, world);
  if (report === null || report.socket === null || volume.config?.value.primary?.mode !== 'serve') return null;
  return { node: report.node, socket: report.socket, since: new Date(report.sinceMs).toISOString() };
}

const progressOf = ({ doneBytes, totalBytes, bytesPerSecond }: ReplicaProgress): VolumeStatusReplicaProgress => ({
  doneBytes,
  totalBytes,
  ...(bytesPerSecond > 0 ? { secondsLeft: Math.ceil(Math.max(0, totalBytes - doneBytes) / bytesPerSecond) } : {}),
});

type Seen = Pick<VolumeStatusReplica, 'state' | 'reason' | 'progress'>;
const NOT_HEARD_OF = 'its agent is not heard of';

function creating(volume: ObservedVolume, member: Member, isFirst: boolean): Seen | null {
  const task = createTaskOf(volume, member)?.task.value;
  if (task?.state === 'failed') return { state: 'Failed', reason: task.error ?? 'could not be made' };
  return isFirst || (task && task.state !== 'done') ? { state: 'Creating' } : null;
}

function outOfSyncState(volume: ObservedVolume, member: Member, world: World): Seen {
  if (!world.machines.has(member.node)) return { state: 'Out', reason: NOT_HEARD_OF };
  const report = currentReport(volume, world);
  const progress = report?.replicas.find(({ replica }) => replica === member.replica);
  if (progress && progress.state !== 'out') return { state: 'Learner', progress: progressOf(progress) };
  return { state: 'Out', reason: report ? 'the primary does not reach it' : 'waits for a primary to bring it back' };
}

function seen(volume: ObservedVolume, { inSync }: Shard, member: Member, world: World): Seen {
  const failure = failureOf(member, world);
  if (failure !== null) return { state: 'Failed', reason: failure };
  if (member.leaving) return { state: 'Leaving' };
  const made = creating(volume, member, inSync.length === 0);
  if (made !== null) return made;
  if (!inSync.includes(member.replica)) return outOfSyncState(volume, member, world);
  if (!world.machines.has(member.node)) return { state: 'InSync', reason: NOT_HEARD_OF };
  const quarantine = quarantineOf(member, world);
  return quarantine === null ? { state: 'InSync' } : { state: 'InSync', reason: quarantine };
}

export function replicasOf(volume: ObservedVolume, world: World): VolumeStatusReplica[] {
  const config = volume.config?.value;
  if (!config) return [];
  return config.shards.flatMap((shard, index) =>
    shard.members.map((member) => ({
      name: member.replica,
      node: member.node,
      pool: member.pool,
      shard: index,
      ...seen(volume, shard, member, world),
    })),
  );
}
