/** Rules about who may answer, and when. */
import { type Mutant, mutant } from './mutant.ts';

const REPLICATION = 'agent/primary/replication.ts';
const PRIMARY = 'agent/primary/primary.ts';
const FRONTEND = 'agent/primary/frontend.ts';
const REPLIES = 'agent/primary/replies.ts';
const FLUSH_AHEAD = 'agent/primary/flushAhead.ts';
const PEER = 'agent/primary/peer.ts';
const REPLICA = 'agent/replica/replica.ts';
const SESSION = 'agent/replica/session.ts';

export const ANSWERING: readonly Mutant[] = [
  mutant(
    'noPromise',
    20,
    'a replica refuses an epoch below the one that it promised',
    [REPLICA, 'if (seal.epoch < epoch) return', 'if (seal.epoch < 0) return'],
    [REPLICA, 'if (seal.config.version < seenVersion)', 'if (seal.config.version < 0)'],
  ),
  mutant('noLeaseWait', 20, 'a new primary waits until the leases of before have run out', [
    PRIMARY,
    'this.#shards.every((shard) => shard.mayStart) && ',
    '',
  ]),
  mutant('repliesWithoutLease', 20, 'a reply leaves only while everyone counted has granted a lease', [
    FRONTEND,
    'if (this.replies.mayLeave(nowMs)) this.#finish(pending',
    'if (this.#state) this.#finish(pending',
  ]),
  mutant(
    'oneShardCounts',
    100,
    'a reply needs the leases of every shard, and a new primary waits for those of every shard',
    [PRIMARY, 'this.#shards.every((shard) => shard.mayStart)', 'this.#shards.some((shard) => shard.mayStart)'],
    [
      REPLIES,
      'if (nowMs >= replication.leaseUntilMs) return false;\n    return true;',
      'if (nowMs < replication.leaseUntilMs) return true;\n    return false;',
    ],
  ),
  mutant('repliesUnasked', 50, 'where there are no leases, a reply leaves only when everyone counted was asked', [
    REPLIES,
    'return !this.#asksFirst && this.#isLeased(nowMs)',
    'return this.#asksFirst || this.#isLeased(nowMs)',
  ]),
  mutant('servesOverLoss', 50, 'clients that were attached before a loss are not served after it', [
    PRIMARY,
    ' && !isLossUnseen(this.#knowledge.known)',
    '',
  ]),
  mutant('grantForgotten', 60, 'a replica that restarts counts a whole lease from its start', [
    REPLICA,
    'this.#leases = promisedEpoch === 0 ? [] :',
    'this.#leases = promisedEpoch >= 0 ? [] :',
  ]),
  mutant('acknowledgedBeforeAll', 20, 'a write is acknowledged when everyone counted has it', [
    REPLICATION,
    'const applied = this.counted.reduce((least, peer) => Math.min(least, peer.applied), Number.POSITIVE_INFINITY);',
    'const applied = this.counted.reduce((most, peer) => Math.max(most, peer.applied), 0);',
  ]),
  mutant('acknowledgedBeforeCas', 50, 'who leaves counts until the compare-and-set is known', [
    REPLICATION,
    'countedReplicas(this.shard.inSync, this.proposedInSync)',
    'countedReplicas(this.#knowledge.proposal ? this.proposedInSync : this.shard.inSync, [])',
  ]),
  mutant(
    'flushAheadStale',
    50,
    'a flush that was asked ahead is for a client only if nothing went out behind it',
    [FLUSH_AHEAD, 'replication.inFlight.last === last && replication.counted === counted && isClear(replication)', 'last >= 0'],
    [FLUSH_AHEAD, 'this.#operations++;\n    this.#ahead = null;', 'this.#operations++;'],
  ),
  mutant('readsInFlight', 50, 'a read waits for the writes in flight that it overlaps', [
    FRONTEND,
    "if (!overlapping) return this.#ask(replication, pending, 'read');",
    "if (this.#state) return this.#ask(replication, pending, 'read');",
  ]),
  mutant('readsNowUnleased', 20, 'what is read past the session is told only while everyone counted has granted a lease', [
    FRONTEND,
    'if (!this.replies.mayLeave(nowMs) || !this.throttle',
    'if (!this.throttle',
  ]),
  mutant('readsNowInFlight', 50, 'what is read past the session is settled', [
    REPLICATION,
    'return this.isAdmissible(offsetBytes, lengthBytes) && this.inFlight.lastOverlapping(offsetBytes, lengthBytes) === null;',
    'return this.isAdmissible(offsetBytes, lengthBytes);',
  ]),
  mutant('readsNowInDoubt', 20, 'what is read past the session is not in doubt', [
    REPLICATION,
    'return this.isAdmissible(offsetBytes, lengthBytes) && this.inFlight',
    'return this.inFlight',
  ]),
  mutant('readsNowOutOfSync', 100, 'past its session no replica is read that is not in sync', [
    FRONTEND,
    'only.readSource()?.reads?.read(',
    '[...only.peers.values()].find(({ reads }) => reads)?.reads?.read(',
  ]),
  mutant('suspectTrusted', 10, 'a replica that lost power is no source', [
    PEER,
    'return this.suspect === false || this.isLossTold;',
    'return true;',
  ]),
  mutant(
    'lossUnsaid',
    10,
    'a primary that has served does not go on over a loss',
    [PRIMARY, 'if (!this.#hasServed) for (const { replication } of this.#shards) tell', 'for (const { replication } of this.#shards) tell'],
    [PRIMARY, 'else if (this.#shards.some(({ replication }) => isAllSuspect(replication))) this', 'if (this.#isGivenUp) this'],
    ['agent/primary/inSyncSet.ts', '!stage.hasServed && lossAt', 'lossAt'],
  ),
  mutant('flushOverLoss', 150, 'a flush waits until what a power loss took is there again', [
    PEER,
    "return this.suspect === false || (this.state === 'open' && this.need.size === 0);",
    'return true;',
  ]),
  mutant('promisesLater', 10, 'a replica promises durably before it answers', [
    REPLICA,
    'this.#promise(seal.epoch, seal.instance, seal.config, open);',
    'this.#promise(seal.epoch, seal.instance, seal.config, () => undefined);\n    open();',
  ]),
  mutant('longestLeaseForgotten', 60, 'a lease longer than any before is noted before it is granted', [
    REPLICA,
    'if (leaseMs <= this.#store.meta.longestLeaseMs) return grant();',
    'if (leaseMs > 0) return grant();',
  ]),
  mutant('fullDiskIgnored', 50, 'what a full disk did not take is not acknowledged', [
    SESSION,
    'if (!(error instanceof IoError)) throw error;',
    "if (error instanceof IoError && error.code === 'noSpace' && 'sequence' in message) {\n          this.#applied = message.sequence;\n          continue;\n        }\n        if (!(error instanceof IoError)) throw error;",
  ]),
];
