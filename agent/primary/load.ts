/**
 * What a primary keeps at this moment, each beside the maximum that it must stay below. For whoever watches over it (the simulator's checker, tests); must
 * never change anything, nor be asked for where data goes through.
 */
import { WRITE_BYTES_MAX } from '../../core/wire/messages.ts';
import { type Frontend, WAITING_MAX } from './frontend.ts';
import { LEVELS_MAX } from './leveller.ts';
import { PINGS_MAX } from './peer.ts';
import { BYTES_IN_FLIGHT_MAX, OPERATIONS_IN_FLIGHT_MAX, type Replication } from './replication.ts';
import { SNAPSHOTS_WAITING_MAX, type Snapshots } from './snapshot.ts';
import { THROTTLED_MAX } from './throttle.ts';

export type Load = { what: string; count: number; max: number };

/** Beside the leveller's a scrub may hold one extent. */
const LOCKS_MAX = LEVELS_MAX + 1;

export function loadOf(replications: readonly Replication[], frontend: Frontend, snapshots: Snapshots): Load[] {
  let bytes = 0;
  for (const { inFlight } of replications) bytes += inFlight.bytes;
  return [
    // The last request that had room may be as large as any.
    { what: 'bytes in flight', count: bytes, max: BYTES_IN_FLIGHT_MAX + WRITE_BYTES_MAX },
    { what: 'requests that wait', count: frontend.waitingCount - frontend.throttle.heldCount, max: WAITING_MAX },
    { what: 'requests that wait for the limits', count: frontend.throttle.heldCount, max: THROTTLED_MAX },
    { what: 'snapshots that wait', count: snapshots.waitingCount, max: SNAPSHOTS_WAITING_MAX },
    ...replications.flatMap(loadOfShard),
  ];
}

function loadOfShard({ shardIndex, inFlight, locks, peers }: Replication): Load[] {
  // Restamps are none of a client's: as many as a change of the config asks for.
  let operations = 0;
  for (const { operation } of inFlight) if (operation.type !== 'restamp') operations++;
  return [
    { what: `operations in flight in shard ${shardIndex}`, count: operations, max: OPERATIONS_IN_FLIGHT_MAX },
    { what: `extents locked in shard ${shardIndex}`, count: locks.size, max: LOCKS_MAX },
    ...[...peers.values()].map((peer) => ({ what: `pings of ${peer.member.replica}`, count: peer.pingsOut, max: PINGS_MAX })),
  ];
}
