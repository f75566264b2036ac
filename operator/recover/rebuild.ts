/**
 * A volume's config made anew from what its replicas know of it. Pure. Must never guess: where somebody who is not there may know better, it says who, and
 * nothing is made.
 *
 * Why an in-sync set that the latest config names is safe when each replica of it is here and none knows of a later version (ARCHITECTURE.md, "When the store is
 * lost"): a set changes by the primary only, which keeps one of the set before that is there. As long as nobody joined since, whoever is left of it noted the
 * later version before anything was acknowledged under it; and nobody joins before those of the set who are there have noted that a later one may come.
 */
import { isFresh, type Member, type Shard, type VolumeConfig } from '../../core/config.ts';
import type { NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { InventoryReplica } from '../../core/inventory.ts';

/** Beyond whatever those who are not here may have promised or seen; it costs nothing. */
export const NUMBERS_SKIPPED = 1_000;

export type FoundReplica = InventoryReplica & { node: NodeName };

export type VolumeEvidence = {
  uid: VolumeUid;
  /** Of the object with this uid; null: there is none. */
  name: string | null;
  found: readonly FoundReplica[];
  /** What etcd holds now: nothing, or what an old backup had. */
  stored: VolumeConfig | null;
  /** Of nodes and pools of which is known what they hold. */
  hasTold: (node: NodeName) => boolean;
  /** A person has said that what may be missing may be lost. */
  acceptsLoss: boolean;
};

export type Verdict =
  /** What etcd holds is the latest that anybody knows. */
  | { kind: 'sound' }
  | { kind: 'rebuilt'; config: VolumeConfig; notes: string[] }
  /** `accepting`: what it would mean to accept a loss; null: that would not help. */
  | { kind: 'refused'; reasons: string[]; accepting: string | null };

const refused = (...reasons: string[]): Verdict => ({ kind: 'refused', reasons, accepting: null });
const most = (numbers: readonly number[]): number => Math.max(0, ...numbers);

function latestOf({ uid, found, stored }: VolumeEvidence): VolumeConfig | null {
  const seen = [stored, ...found.map(({ config }) => config)].filter((config) => config?.uid === uid);
  return seen.reduce<VolumeConfig | null>((best, config) => (config && config.version > (best?.version ?? -1) ? config : best), null);
}

/** The replica of that member, where the config says that it is. */
const foundOf = ({ found }: VolumeEvidence, member: Member): FoundReplica | undefined =>
  found.find(({ replica, node, pool }) => replica === member.replica && node === member.node && pool === member.pool);

/** One that has seen no config was never in sync: then these are not the files that the config speaks of. */
const isWitness = (found: FoundReplica | undefined): found is FoundReplica => found !== undefined && found.config !== null;
const isSound = (found: FoundReplica | undefined): found is FoundReplica => isWitness(found) && found.problem === null;

const membersInSync = ({ members, inSync }: Shard): Member[] => members.filter(({ replica }) => inSync.includes(replica));

function doubtsOfShard(evidence: VolumeEvidence, shard: Shard, index: number, count: number): string[] {
  const where = count === 1 ? '' : ` of shard ${index}`;
  if (shard.inSync.length === 0) return [`no replica${where} is in sync in the latest config that anybody here has seen`];
  const inSync = membersInSync(shard);
  const missing = inSync.filter((member) => !isWitness(foundOf(evidence, member)));
  const doubts = missing.map((member) => {
    const found = evidence.found.find(({ replica }) => replica === member.replica);
    if (found === undefined && !evidence.hasTold(member.node))
      return `${member.node} has not told what it holds: it may know of writes that the others miss`;
    if (found === undefined) return `${member.node} has not got replica ${member.replica}${where}, which is in sync`;
    if (!isWitness(foundOf(evidence, member)) && found.config !== null)
      return `replica ${member.replica}${where} is on ${found.node}/${found.pool}, not on ${member.node}/${member.pool}`;
    return `replica ${member.replica}${where} on ${member.node} cannot be read: ${found.problem ?? 'it has seen no config'}`;
  });
  if (doubts.length === 0 && !inSync.some((member) => isSound(foundOf(evidence, member))))
    return [`every replica${where} in sync has failed`];
  return doubts;
}

/** Some operation was of a later config than anybody here has seen: who was in sync then is not known. */
function doubtsOfVersion({ found }: VolumeEvidence, latest: VolumeConfig): string[] {
  return found
    .filter(({ knownVersion }) => knownVersion > latest.version)
    .map(
      ({ node, replica, knownVersion }) =>
        `replica ${replica} on ${node} knows that version ${knownVersion} of the config may be there, and nobody here has seen a later one than ${latest.version}`,
    );
}

/** What was to be made there and is not, with the task for it lost, would be waited for for ever. */
const isThereOrAway = (evidence: VolumeEvidence, member: Member): boolean =>
  evidence.found.some(({ replica }) => replica === member.replica) || !evidence.hasTold(member.node);

const withMembers = (evidence: VolumeEvidence, { members, inSync }: Shard): Shard => ({
  members: members.filter((member) => inSync.includes(member.replica) || isThereOrAway(evidence, member)),
  inSync,
});

/** Epoch and version above all that was promised or seen; nobody is the primary until the leader says who. */
function renumbered(evidence: VolumeEvidence, latest: VolumeConfig, shards: Shard[]): VolumeConfig {
  const { found, stored } = evidence;
  const epoch = most([latest.epoch, stored?.epoch ?? 0, ...found.map(({ promisedEpoch }) => promisedEpoch)]) + NUMBERS_SKIPPED;
  const version = most([latest.version, stored?.version ?? 0, ...found.map(({ knownVersion }) => knownVersion)]) + NUMBERS_SKIPPED;
  return { ...latest, epoch, version, primary: null, shards };
}

/** Those of the set that know of the latest version; whoever is not among them is compared as if it were new. Null: nobody is left. */
function salvaged(evidence: VolumeEvidence, shard: Shard): Shard | null {
  const sound = membersInSync(shard).flatMap((member) => {
    const found = foundOf(evidence, member);
    return isSound(found) ? [found] : [];
  });
  const version = most(sound.map(({ knownVersion }) => knownVersion));
  const inSync: ReplicaId[] = sound.filter(({ knownVersion }) => knownVersion === version).map(({ replica }) => replica);
  if (inSync.length === 0) return null;
  const { members } = withMembers(evidence, shard);
  const asNew = ({ leftAt: _, ...member }: Member): Member => member;
  return { inSync, members: members.map((member) => (inSync.includes(member.replica) ? member : asNew(member))) };
}

const placesOf = (shards: readonly Shard[]): string =>
  shards
    .flatMap(membersInSync)
    .map(({ node, pool }) => `${node}/${pool}`)
    .join(', ');

function inDoubt(evidence: VolumeEvidence, latest: VolumeConfig, reasons: string[]): Verdict {
  const shards = latest.shards.map((shard) => salvaged(evidence, shard));
  if (!shards.every((shard) => shard !== null)) return refused(...reasons);
  const accepting = `acknowledged writes that only replicas which are not here have would be lost; it would go on from ${placesOf(shards)}`;
  if (!evidence.acceptsLoss) return { kind: 'refused', reasons, accepting };
  const config = renumbered(evidence, latest, shards);
  // No client that was there before may go on as if nothing had happened.
  return { kind: 'rebuilt', config: { ...config, lossAt: config.epoch }, notes: [`a loss was accepted: ${reasons.join('; ')}`] };
}

export function rebuildVolume(evidence: VolumeEvidence): Verdict {
  const { stored, found, name } = evidence;
  const latest = latestOf(evidence);
  if (latest === null) return refused('no replica of it has seen a config');
  const isStored = stored !== null && stored.version >= latest.version;
  const isBehind =
    stored !== null && found.some(({ knownVersion, promisedEpoch }) => knownVersion > stored.version || promisedEpoch > stored.epoch);
  if (isStored && !isBehind) return { kind: 'sound' };
  if (name === null)
    return refused('no Volume has this uid: the operator would delete its replicas as soon as a config stood there; they stay as they are');
  if (isFresh(latest)) return refused('nothing of it was ever in sync, as far as anybody here knows: delete the Volume and make it again');
  const reasons = [
    ...doubtsOfVersion(evidence, latest),
    ...latest.shards.flatMap((shard, index) => doubtsOfShard(evidence, shard, index, latest.shards.length)),
  ];
  if (reasons.length > 0) return inDoubt(evidence, latest, reasons);
  const shards = latest.shards.map((shard) => withMembers(evidence, shard));
  return { kind: 'rebuilt', config: renumbered(evidence, latest, shards), notes: [] };
}
