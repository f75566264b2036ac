/**
 * The replication ports of a pool and the ways to those of others, wired to logs and counters. Must never decide who is served.
 *
 * A pool answers at two places: on a port of its own, with mutual TLS, for primaries on other nodes; and on a unix socket for primaries of this agent, which
 * live in other threads. The socket's directory may be entered by this agent's user alone, so nobody has to prove anything there.
 */
import { join } from 'node:path';
import type { NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import type { BlockPool } from '../../core/wire/blockPool.ts';
import type { Certificates } from '../../edge/tls.ts';
import type { ReplicationEvents } from '../replication/events.ts';
import type { Accept, Appointed, Connect } from '../replication/link.ts';
import type { Listening } from '../workers/poolHost.ts';
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

/** In the run directory, beside the volumes' sockets; `prepareRunDirectory` makes it. */
export const POOL_SOCKETS = 'pools';
export const poolSocket = (runDirectory: string, pool: string): string => join(runDirectory, POOL_SOCKETS, `${pool}.sock`);

export type ConnectOptions = {
  node: NodeName;
  runDirectory: string;
  resolve: (node: NodeName, pool: string) => PeerAddress | null;
  /** Null: REPLICATION_TLS is off. */
  certificates: Certificates | null;
  events: ReplicationEvents;
  /** For long answers; whoever had them gives them back. */
  blocks: BlockPool;
};

/** By a unix socket to a replica of this agent, else over the network to its node. */
export function connectAnywhere({ node, runDirectory, resolve, certificates, events, blocks }: ConnectOptions): Connect {
  return connectOverNetwork({
    certificates,
    events,
    blocks,
    resolve: (member) => (member.node === node ? { path: poolSocket(runDirectory, member.pool) } : resolve(member.node, member.pool)),
  });
}

export type ListenOptions = {
  node: NodeName;
  runDirectory: string;
  pool: string;
  listen: HostPort;
  certificates: Certificates | null;
  events: ReplicationEvents;
};

export async function listenForReplication(
  { node, runDirectory, pool, listen, ...rest }: ListenOptions,
  accept: Accept,
  appointed: Appointed,
): Promise<Listening> {
  const network = await ReplicationServer.listen({ ...listen, ...rest, accept, appointed });
  const local = await ReplicationServer.listen({
    ...listen,
    ...rest,
    accept,
    appointed,
    local: { path: poolSocket(runDirectory, pool), node },
  });
  return {
    port: network.port,
    close: async () => {
      await Promise.all([network.close(), local.close()]);
    },
  };
}
