/**
 * The two sentences that levelling and catching up stand on: where in-sync replicas differ, one of them has the extent in its log; and where an
 * absent member differs from one in sync, the latter's stamp or a log says so.
 */
import type { VolumeConfig } from '../../../core/config.ts';
import { isEqual } from '../platter.ts';
import { Violation } from '../violation.ts';
import type { ReplicaView } from './inSyncHolds.ts';

export function checkCovers(config: VolumeConfig, replicas: ReadonlyMap<string, ReplicaView>): void {
  const shard = config.shards[0];
  if (!shard) return;
  const inSync = shard.inSync.flatMap((id) => replicas.get(id) ?? []);
  const absent = shard.members.filter((member) => !shard.inSync.includes(member.replica));
  for (let extent = 0; extent < (inSync[0]?.platter.extents ?? 0); extent++) {
    if (inSync.some((replica) => replica.platter.intents.has(extent))) continue;
    checkEqual(inSync, extent);
    for (const member of absent) {
      const replica = replicas.get(member.replica);
      if (replica && !replica.platter.intents.has(extent)) checkStamped(inSync, replica, member.leftAt, extent);
    }
  }
}

function checkEqual([first, ...others]: readonly ReplicaView[], extent: number): void {
  for (const other of others) {
    if (!first || isEqual(first.platter, other.platter, extent)) continue;
    throw new Violation('covers', `extent ${extent} differs on ${first.id} and ${other.id}, both in sync, and is in no log`);
  }
}

function checkStamped(inSync: readonly ReplicaView[], absent: ReplicaView, leftAt: number | undefined, extent: number): void {
  // What it keeps as done is compared again only where it was stamped since.
  const { resync } = absent.platter.meta;
  const done = resync !== null && resync.since === (leftAt ?? 0) && extent < resync.below ? resync.version : null;
  // One that was never in is compared with whatever either side has a stamp for.
  if (leftAt === undefined && absent.stamp(extent) > 0 && done === null) return;
  const since = Math.max(1, done ?? leftAt ?? 0);
  for (const replica of inSync) {
    if (replica.stamp(extent) >= since || isEqual(replica.platter, absent.platter, extent)) continue;
    const said = `stamp ${replica.stamp(extent)} of ${replica.id}`;
    throw new Violation(
      'covers',
      `extent ${extent} of ${absent.id}, which left at ${since}, differs, and neither a log nor ${said} says so`,
    );
  }
}
