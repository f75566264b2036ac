/** The replication port and the way to others, wired to logs and counters. Must never decide who is served. */
import type { Member } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import type { Certificates } from '../../edge/tls.ts';
import type { ReplicationEvents } from '../replication/events.ts';
import type { Accept, Connect } from '../replication/link.ts';
import { connectLocal } from '../replication/localLink.ts';
import { connectOverNetwork, type PeerAddress } from './replicationClient.ts';
import { ReplicationServer } from './replicationServer.ts';

export type NetworkCounters = {
  /** A peer broke a rule, or was none of ours. */
  replicationRefused(rule: string): void;
};

export function replicationEvents(log: Log, counters: NetworkCounters): ReplicationEvents {
  return {
    connectionRefused: ({ peer, rule, message }) => {
      counters.replicationRefused(rule);
      log.warn('replication connection refused', { peer, rule, reason: message });
    },
    connectionOpened: (peer) => log.debug('replication connection opened', { peer }),
    connectionClosed: (peer, reason) => log.debug('replication connection closed', { peer, reason }),
    acceptFailed: (error) => log.error('replication port takes no connection for the moment', { error }),
  };
}

export type ConnectOptions = {
  node: NodeName;
  accept: Accept;
  resolve: (node: NodeName) => PeerAddress | null;
  certificates: Certificates;
  events: ReplicationEvents;
};

/** Within this process to a replica here, else over the network to its node. */
export function connectAnywhere({ node, accept, resolve, certificates, events }: ConnectOptions): Connect {
  const here = connectLocal(accept);
  const there = connectOverNetwork({ certificates, events, resolve: (member: Member) => resolve(member.node) });
  return (member, seal, listener) => (member.node === node ? here : there)(member, seal, listener);
}

export const listenForReplication = (
  listen: HostPort,
  options: { accept: Accept; certificates: Certificates; events: ReplicationEvents },
): Promise<ReplicationServer> => ReplicationServer.listen({ ...listen, ...options });
