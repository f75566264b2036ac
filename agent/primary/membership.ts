/**
 * Which change of its volume's config a primary wants next. Pure: one value of each shard in, the next config or null out.
 *
 * The set never falls below minInSync, nor to replicas of which none answers, nor to suspects while one of the set may not be suspect.
 */
import { type Member, type VolumeConfig, withInSyncSets } from '../../core/config.ts';
import type { ReplicaId } from '../../core/ids.ts';

export type PeerView = {
  member: Member;
  /** gone: it has not answered for so long that it must leave. */
  state: 'open' | 'opening' | 'gone';
  /** What it holds may be all that is left: it kept its power, or the loss was told. */
  isTrusted: boolean;
  /** A learner that has everything, has flushed and grants leases. */
  isCaughtUp: boolean;
};

/** One shard. */
export type Membership = {
  shardIndex: number;
  peers: readonly PeerView[];
  /** Nothing is still to be levelled on a replica that counts. */
  nothingInDoubt: boolean;
};

/** The volume. Shards that are left out are as they should be. */
export type Memberships = {
  known: VolumeConfig;
  memberships: readonly Membership[];
  /** All of a shard's set had lost power, nobody was served yet, and it was not said. */
  mustTellLoss: boolean;
};

const isSafeSource = (view: PeerView | undefined): boolean => view?.state === 'open' && view.isTrusted;

/** Who should leave the set, the gone before those that only want to. */
function candidates(peers: readonly PeerView[], nothingInDoubt: boolean, inSync: readonly ReplicaId[]): ReplicaId[] {
  const mine = peers.filter((peer) => inSync.includes(peer.member.replica));
  const gone = mine.filter((peer) => peer.state === 'gone');
  const stayers = peers.filter((peer) => !peer.member.leaving);
  const stayersAreIn = stayers.every((peer) => peer.isCaughtUp || (inSync.includes(peer.member.replica) && peer.state === 'open'));
  const leaving = mine.filter((peer) => peer.member.leaving && peer.state !== 'gone' && stayersAreIn && nothingInDoubt);
  return [...gone, ...leaving].map((peer) => peer.member.replica);
}

/** The in-sync set that the primary wants for a shard now: with one learner that caught up, without those that may leave. */
export function wantedInSync(known: VolumeConfig, { shardIndex, peers, nothingInDoubt }: Membership): ReplicaId[] {
  const inSync = known.shards[shardIndex]?.inSync ?? [];
  const views = new Map(peers.map((peer) => [peer.member.replica, peer]));
  const joining = peers.find((peer) => peer.isCaughtUp && !inSync.includes(peer.member.replica) && !peer.member.leaving);
  let wanted = joining ? [...inSync, joining.member.replica] : [...inSync];
  for (const replica of candidates(peers, nothingInDoubt, inSync)) {
    const without = wanted.filter((other) => other !== replica);
    const sourceStays = without.some((other) => inSync.includes(other) && isSafeSource(views.get(other)));
    if (without.length >= known.minInSync && sourceStays) wanted = without;
  }
  return wanted;
}

/** The next config to propose, with all that the shards want now, or null when the known one is as it should be. */
export function nextConfig({ known, memberships, mustTellLoss }: Memberships): VolumeConfig | null {
  if (mustTellLoss) return { ...known, version: known.version + 1, lossAt: known.epoch };
  const changed = new Map<number, ReplicaId[]>();
  for (const membership of memberships) {
    const inSync = known.shards[membership.shardIndex]?.inSync ?? [];
    const wanted = wantedInSync(known, membership);
    const isSame = wanted.length === inSync.length && wanted.every((replica) => inSync.includes(replica));
    if (!isSame) changed.set(membership.shardIndex, wanted);
  }
  return changed.size === 0 ? null : withInSyncSets(known, changed);
}
