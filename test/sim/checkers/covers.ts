/**
 * The two sentences that levelling and catching up stand on: where in-sync replicas differ, one of them has the extent in its log; and where an
 * absent member differs from one in sync, the latter's stamp or a log says so.
 */
import type { Shard } from '../../../core/config.ts';
import { isEqual } from '../files.ts';
import { Violation } from '../violation.ts';
import { inSyncOf, type ReplicaView, type Scene } from './view.ts';

export function checkCovers(scene: Scene): void {
  for (const [index, shard] of scene.config.shards.entries()) checkShard(shard, index, scene);
}

function checkShard(shard: Shard, index: number, scene: Scene): void {
  const inSync = inSyncOf(shard, scene);
  const absent = shard.members.filter((member) => !shard.inSync.includes(member.replica));
  // What one that is smaller does not have yet is nobody's to read.
  const extents = inSync.reduce((least, { files }) => Math.min(least, files.extents), Number.POSITIVE_INFINITY);
  for (let extent = 0; inSync.length > 0 && extent < extents; extent++) {
    if (extent === scene.coldExtentOf(index) || inSync.some(({ files }) => files.isLogged(extent))) continue;
    checkEqual(inSync, extent);
    for (const member of absent) {
      const replica = scene.replicas.get(member.replica);
      if (replica && extent < replica.files.extents && !replica.files.isLogged(extent))
        checkStamped(inSync, replica, member.leftAt, extent);
    }
  }
}

function checkEqual([first, ...others]: readonly ReplicaView[], extent: number): void {
  for (const other of others) {
    if (!first || isEqual(first.files, other.files, extent)) continue;
    throw new Violation('covers', `extent ${extent} differs on ${first.id} and ${other.id}, both in sync, and is in no log`);
  }
}

function checkStamped(inSync: readonly ReplicaView[], absent: ReplicaView, leftAt: number | undefined, extent: number): void {
  // What it keeps as done is compared again only where it was stamped since.
  const { resync } = absent.files.meta;
  const done = resync !== null && resync.since === (leftAt ?? 0) && extent < resync.below ? resync.version : null;
  // One that was never in is compared with whatever either side has a stamp for.
  if (leftAt === undefined && absent.files.stamp(extent) > 0 && done === null) return;
  const since = Math.max(1, done ?? leftAt ?? 0);
  for (const { id, files } of inSync) {
    if (files.stamp(extent) >= since || isEqual(files, absent.files, extent)) continue;
    const said = `stamp ${files.stamp(extent)} of ${id}`;
    throw new Violation(
      'covers',
      `extent ${extent} of ${absent.id}, which left at ${since}, differs, and neither a log nor ${said} says so`,
    );
  }
}
