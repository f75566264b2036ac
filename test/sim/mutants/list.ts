/** Rules of the protocol, each broken by one change of the source; the simulator has to notice within so many seeds. */
export type Mutant = {
  name: string;
  /** The rule that it breaks. */
  rule: string;
  changes: readonly { file: string; find: string; replace: string }[];
  seedsMax: number;
};

const change = (file: string, find: string, replace: string) => ({ file, find, replace });
const REPLICATION = 'agent/primary/replication.ts';
const PRIMARY = 'agent/primary/primary.ts';
const FRONTEND = 'agent/primary/frontend.ts';
const SESSIONS = 'agent/primary/sessions.ts';
const LOADING = 'agent/primary/loading.ts';
const REPLICA = 'agent/replica/replica.ts';
const SESSION = 'agent/replica/session.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'noPromise',
    rule: 'a replica refuses an epoch below the one that it promised',
    changes: [
      change(REPLICA, 'if (seal.epoch < epoch) return', 'if (seal.epoch < 0) return'),
      change(REPLICA, 'if (seal.config.version < seenVersion)', 'if (seal.config.version < 0)'),
    ],
    seedsMax: 100,
  },
  {
    name: 'noLeaseWait',
    rule: 'a new primary waits until the leases of before have run out',
    changes: [change(PRIMARY, 'this.#clock.monotonicMs() >= mayStartAtMs && ', '')],
    seedsMax: 200,
  },
  {
    name: 'repliesWithoutLease',
    rule: 'a reply leaves only while everyone counted has granted a lease',
    changes: [change(FRONTEND, 'if (this.isLeased()) this.#finish(pending', 'if (this.#state) this.#finish(pending')],
    seedsMax: 400,
  },
  {
    name: 'grantForgotten',
    rule: 'a replica that restarts counts a whole lease from its start',
    changes: [change(REPLICA, 'this.#leases = promisedEpoch === 0 ? [] :', 'this.#leases = promisedEpoch >= 0 ? [] :')],
    seedsMax: 600,
  },
  {
    name: 'acknowledgedBeforeAll',
    rule: 'a write is acknowledged when everyone counted has it',
    changes: [
      change(
        REPLICATION,
        'const applied = this.counted.reduce((least, peer) => Math.min(least, peer.applied), Number.POSITIVE_INFINITY);',
        'const applied = this.counted.reduce((most, peer) => Math.max(most, peer.applied), 0);',
      ),
    ],
    seedsMax: 100,
  },
  {
    name: 'acknowledgedBeforeCas',
    rule: 'who leaves counts until the compare-and-set is known',
    changes: [
      change(
        REPLICATION,
        'countedReplicas(this.shard.inSync, this.proposedInSync)',
        'countedReplicas(this.#knowledge.proposal ? this.proposedInSync : this.shard.inSync, [])',
      ),
    ],
    seedsMax: 200,
  },
  {
    name: 'joinsUncounted',
    rule: 'who joins counts from before the compare-and-set is out',
    changes: [
      change(REPLICATION, 'countedReplicas(this.shard.inSync, this.proposedInSync)', 'countedReplicas(this.shard.inSync, [])'),
      change(REPLICATION, 'if (this.joining) replicas.add(this.joining.member.replica);', ''),
    ],
    seedsMax: 100,
  },
  {
    name: 'joinsWithoutFlush',
    rule: 'a learner flushes, behind all that was sent, before it joins',
    changes: [
      change('agent/primary/joining.ts', "peer.ask({ type: 'flush' }, this.#clock.monotonicMs(), flushed, () => undefined);", 'flushed();'),
    ],
    seedsMax: 200,
  },
  {
    name: 'notLevelled',
    rule: 'after a promotion every extent in a log is levelled',
    changes: [change(LOADING, 'for (const log of [own, ...rest]) if (log) peer.need.addAll(log);', 'peer.need.clear();')],
    seedsMax: 100,
  },
  {
    name: 'servedUnlevelled',
    rule: 'an extent is levelled before any read or write of it goes on',
    changes: [
      change(REPLICATION, 'if (this.gate.has(extent) || this.locks.has(extent)) return false', 'if (this.locks.has(extent)) return false'),
    ],
    seedsMax: 200,
  },
  {
    name: 'copiedUnlocked',
    rule: 'nothing is written to an extent while it is copied',
    changes: [
      change(REPLICATION, 'if (this.gate.has(extent) || this.locks.has(extent)) return false', 'if (this.gate.has(extent)) return false'),
    ],
    seedsMax: 300,
  },
  {
    name: 'notRestamped',
    rule: 'what is in flight when a replica leaves is stamped again',
    changes: [change('agent/primary/shard.ts', 'if (gone.length > 0) replication.restampInFlight();', '')],
    seedsMax: 300,
  },
  {
    name: 'levellingUnstamped',
    rule: 'a levelling takes the later stamp and is stamped on everybody',
    changes: [
      change('agent/primary/leveller.ts', 'if (level.inDoubt) this.#replication.restamp([level.extent]);', ''),
      change('agent/replica/apply.ts', 'if (store.stamp(level.extent) < level.stamp) store.setStamp(level.extent, level.stamp);', ''),
      change(LOADING, 'this.#replication.restamp(own);', ''),
    ],
    seedsMax: 300,
  },
  {
    name: 'readsInFlight',
    rule: 'a read waits for the writes in flight that it overlaps',
    changes: [
      change(
        FRONTEND,
        "if (!overlapping) return this.#ask(replication, pending, 'read');",
        "if (this.#state) return this.#ask(replication, pending, 'read');",
      ),
    ],
    seedsMax: 300,
  },
  {
    name: 'reconnectSkips',
    rule: 'who comes back while in sync is sent again all that is in flight',
    changes: [
      change(SESSIONS, 'counts ? inFlight.settled : inFlight.last', 'inFlight.last'),
      change(SESSIONS, 'if (counts) this.#replication.resend(peer);', ''),
    ],
    seedsMax: 100,
  },
  {
    name: 'ownLogIgnored',
    rule: 'a learner is compared over its own log, too',
    changes: [
      change(LOADING, 'for (const set of [own, source, this.#replication.gate])', 'for (const set of [source, this.#replication.gate])'),
    ],
    seedsMax: 300,
  },
  {
    name: 'cleanedUnsettled',
    rule: 'an extent stays in the log until all its writes are settled and nothing is to be levelled',
    changes: [
      change(SESSION, 'const isDone = this.#mayClean ||', 'const isDone = true ||'),
      change(SESSION, 'if (!this.#mayClean && this.#doneBelow === 0) return [];', ''),
      change(SESSION, 'return sequence <= this.#applied && sequence <= this.#settled;', 'return sequence <= this.#applied;'),
    ],
    seedsMax: 100,
  },
  {
    name: 'cleanedVolatile',
    rule: 'an extent leaves the log only when its data is durable',
    changes: [
      change('test/sim/store.ts', 'this.platter.makeDurable(serial);\n        this.platter.removeIntents', 'this.platter.removeIntents'),
    ],
    seedsMax: 200,
  },
  {
    name: 'suspectTrusted',
    rule: 'a replica that lost power is no source',
    changes: [change('agent/primary/peer.ts', 'return this.suspect === false || this.isLossTold;', 'return true;')],
    seedsMax: 200,
  },
  {
    name: 'lossUnsaid',
    rule: 'a primary that has served does not go on over a loss',
    changes: [
      change(
        PRIMARY,
        'if (!this.#hasServed) for (const { replication } of this.#shards) tell',
        'for (const { replication } of this.#shards) tell',
      ),
      change(PRIMARY, 'else if (this.#shards.some(({ replication }) => isAllSuspect(replication))) {', 'if (this.#isGivenUp) {'),
      change('agent/primary/inSyncSet.ts', '!stage.hasServed && lossAt', 'lossAt'),
    ],
    seedsMax: 200,
  },
  {
    name: 'flushOverLoss',
    rule: 'a flush waits until what a power loss took is there again',
    changes: [
      change('agent/primary/peer.ts', "return this.suspect === false || (this.state === 'open' && this.need.size === 0);", 'return true;'),
    ],
    seedsMax: 300,
  },
];
