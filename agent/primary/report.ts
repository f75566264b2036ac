/** What a primary says of itself, for people. Pure. */
import { isLossUnseen, lossSentence } from '../../core/config.ts';
import type { AheadReport, ReplicaProgress, ServingState } from '../../core/machine.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

export type PrimaryPhase = 'sealing' | 'waiting' | 'ready' | 'closing' | 'closed';
export type PrimaryReport = {
  state: ServingState;
  reason?: string;
  sizeBytes?: number;
  growthTrouble?: string;
  ahead?: AheadReport;
  replicas: ReplicaProgress[];
};

/** A primary hears of a new config a moment after its replicas, and then none of them knows better any more. */
const AHEAD_FOR_MS = 2_000;

/** A volume: its shards, and how far its primary is. */
export type Reported = {
  replications: readonly Replication[];
  phase: PrimaryPhase;
  isSocketOpen: boolean;
  isLeased: boolean;
  /** What is offered; 0: not known yet. */
  sizeBytes: number;
  nowMs: number;
};

export function reportOf({ replications, phase, isSocketOpen, isLeased, sizeBytes, nowMs }: Reported): PrimaryReport {
  const reason = reasonOf(replications, phase, isLeased);
  const state = servingState(phase, isSocketOpen, reason);
  const replicas = replications.flatMap((replication) =>
    [...replication.peers.values()].map((peer) => progressOf(replication, peer, nowMs)),
  );
  const growthTrouble = growthTroubleOf(replications);
  const ahead = aheadOf(replications, nowMs);
  return {
    state,
    ...(reason === null ? {} : { reason }),
    ...(sizeBytes === 0 ? {} : { sizeBytes }),
    ...(growthTrouble === null ? {} : { growthTrouble }),
    ...(ahead === null ? {} : { ahead }),
    replicas,
  };
}

/** Whoever has promised the most, among those who are in sync by what etcd holds: others are compared anyway. */
function aheadOf(replications: readonly Replication[], nowMs: number): AheadReport | null {
  let most: AheadReport | null = null;
  for (const { counted, known } of replications) {
    for (const { member, ahead } of counted.filter((one) => one.knowsBetter(known))) {
      if (ahead === null || nowMs - ahead.sinceMs < AHEAD_FOR_MS || (most !== null && most.epoch >= ahead.epoch)) continue;
      most = { node: member.node, epoch: ahead.epoch, version: ahead.version };
    }
  }
  return most;
}

/** Who has no room to grow, and why; nobody is named twice. */
function growthTroubleOf(replications: readonly Replication[]): string | null {
  const words = new Set<string>();
  for (const { peers, wantedBytes } of replications) {
    for (const { member, sizeBytes, growthTrouble } of peers.values()) {
      if (growthTrouble !== null && sizeBytes < wantedBytes) words.add(`${member.node}: ${growthTrouble}`);
    }
  }
  return words.size === 0 ? null : [...words].join('; ');
}

function servingState(phase: PrimaryPhase, isSocketOpen: boolean, reason: string | null): ServingState {
  if (phase === 'sealing' || phase === 'waiting') return phase;
  if (!isSocketOpen) return 'background';
  return reason === null ? 'serving' : 'stalled';
}

function progressOf(replication: Replication, peer: Peer, nowMs: number): ReplicaProgress {
  const { replica } = peer.member;
  if (replication.isInSync(peer)) return { replica, state: 'inSync', doneBytes: 0, totalBytes: 0, bytesPerSecond: 0 };
  if (peer.state !== 'open') return { replica, state: peer.isUp ? 'learner' : 'out', doneBytes: 0, totalBytes: 0, bytesPerSecond: 0 };
  const progress = peer.catchUp?.report(peer.need.size, nowMs) ?? { doneBytes: 0, totalBytes: 0, bytesPerSecond: 0 };
  return { replica, state: 'learner', ...progress };
}

/** Why I/O waits, or null if it does not have to. The nearest cause first. */
function reasonOf(replications: readonly Replication[], phase: PrimaryPhase, isLeased: boolean): string | null {
  if (phase === 'closing') return 'letting go';
  if (phase === 'waiting') return 'waiting for the lease of the primary before';
  const missing = missingOf(replications);
  if (missing !== null) return missing;
  if (replications.some(({ authority }) => authority === null)) return 'no in-sync replica that kept its power answers';
  const known = replications[0]?.known;
  if (known && isLossUnseen(known)) return lossSentence(known);
  return isLeased || phase === 'sealing' ? null : 'waiting for leases';
}

/** Who counts and is not there; a node that is missing in several shards is named once. */
function missingOf(replications: readonly Replication[]): string | null {
  const words = new Set<string>();
  let minInSync = 0;
  for (const { counted, shard, known } of replications) {
    const missing = counted.filter((peer) => peer.state !== 'open');
    for (const { member, state, trouble } of missing) {
      const why = state === 'growing' ? 'it grows' : trouble?.message;
      words.add(`${member.node}${why ? ` (${why})` : ''}`);
    }
    if (missing.length > 0 && shard.inSync.length <= known.minInSync) minInSync = known.minInSync;
  }
  if (words.size === 0) return null;
  const stuck = minInSync > 0 ? `, and minInSync ${minInSync} forbids to go on without` : '';
  return `no answer from ${[...words].join(', ')}${stuck}`;
}
