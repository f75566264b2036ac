/** What a primary says of itself, for people. Pure. */
import { EXTENT_BYTES } from '../../core/extent.ts';
import type { ReplicaProgress, ServingState } from '../../core/machine.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

export type PrimaryPhase = 'sealing' | 'waiting' | 'ready' | 'closing' | 'closed';
export type PrimaryReport = { state: ServingState; reason?: string; replicas: ReplicaProgress[] };

export function reportOf(replication: Replication, phase: PrimaryPhase, isSocketOpen: boolean, nowMs: number): PrimaryReport {
  const reason = reasonOf(replication, phase);
  const state = servingState(phase, isSocketOpen, reason);
  const replicas = [...replication.peers.values()].map((peer) => progressOf(replication, peer, nowMs));
  return reason === null ? { state, replicas } : { state, reason, replicas };
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
  const totalBytes = peer.needAtStart * EXTENT_BYTES;
  const doneBytes = Math.max(0, peer.needAtStart - peer.need.size) * EXTENT_BYTES;
  const seconds = Math.max(0.001, (nowMs - peer.loadedAtMs) / 1000);
  return { replica, state: 'learner', doneBytes, totalBytes, bytesPerSecond: Math.round(doneBytes / seconds) };
}

/** Why I/O waits, or null if it does not have to. The nearest cause first. */
function reasonOf(replication: Replication, phase: string): string | null {
  if (phase === 'closing') return 'letting go';
  if (phase === 'waiting') return 'waiting for the lease of the primary before';
  const missing = replication.counted.filter((peer) => peer.state !== 'open');
  if (missing.length > 0) {
    const words = missing.map((peer) => `${peer.member.node}${peer.trouble ? ` (${peer.trouble.message})` : ''}`);
    const stuck =
      replication.shard.inSync.length <= replication.known.minInSync
        ? `, and minInSync ${replication.known.minInSync} forbids to go on without`
        : '';
    return `no answer from ${words.join(', ')}${stuck}`;
  }
  if (replication.authority === null) return 'no in-sync replica that kept its power answers';
  return replication.isLeased() || phase === 'sealing' ? null : 'waiting for leases';
}
