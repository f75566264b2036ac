/**
 * Whether replicas know better than etcd: then etcd was restored from a backup, and what it says of who is in sync may be long over. Pure.
 *
 * Why the leader does not simply raise the epoch above what they promised, as it does after every other loss of a primary: an epoch fences primaries of *before*, and a
 * higher one would fence them here too, so there would never be two writers. But the promise that stands in the way is the only sign that writes were acknowledged under
 * configs which etcd has forgotten. Whoever the old config calls in sync may miss them, and once all have promised the new epoch nothing tells any more. Which set was the
 * last one is known by the disks only, and `recover` asks them.
 */
import type { AheadReport } from '../../core/machine.ts';
import type { ObservedVolume } from '../observe/observed.ts';

/** What is known beyond etcd, and how. */
type Ahead = { epoch: number; sentence: string };

const words = ({ node, epoch, version }: AheadReport): string =>
  `the replica on ${node} has promised epoch ${epoch} and seen version ${version} of the config`;

/** Null: nobody knows better, as far as is known. The status stands in the API server, and outlives whoever reported. */
export function aheadOf({ object, config, serving }: ObservedVolume): Ahead | null {
  if (config === null) return null;
  const { epoch, version } = config.value;
  const report = serving?.ahead;
  if (report !== undefined && (report.epoch > epoch || report.version > version)) return { epoch: report.epoch, sentence: words(report) };
  const shown = object?.status?.epoch ?? 0;
  return shown > epoch ? { epoch: shown, sentence: `its status names epoch ${shown}` } : null;
}

/** Null: etcd is as late as anybody. */
export function outdatedReason(volume: ObservedVolume): string | null {
  const ahead = aheadOf(volume);
  if (ahead === null || volume.config === null) return null;
  const { epoch, version } = volume.config.value;
  const held = `etcd holds epoch ${epoch}, version ${version}: it was restored from a backup`;
  return `${ahead.sentence}, and ${held}; nothing is done to the volume until \`kubectl holdfast recover --amend\` has rebuilt its config from the disks`;
}
