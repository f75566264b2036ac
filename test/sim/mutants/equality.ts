/** Rules that make and keep replicas equal: counting, levelling, catching up, logs and stamps, growing, scrubs, snapshots. */
import { type Mutant, mutant } from './mutant.ts';

const REPLICATION = 'agent/primary/replication.ts';
const PRIMARY = 'agent/primary/primary.ts';
const LOADING = 'agent/primary/loading.ts';
const LEVELLER = 'agent/primary/leveller.ts';
const JOINING = 'agent/primary/joining.ts';
const SESSIONS = 'agent/primary/sessions.ts';
const PROGRESS = 'agent/primary/progress.ts';
const SHARD = 'agent/primary/shard.ts';
const SESSION = 'agent/replica/session.ts';

export const EQUALITY: readonly Mutant[] = [
  mutant(
    'joinsUncounted',
    50,
    'who joins counts from before the compare-and-set is out',
    [REPLICATION, 'countedReplicas(this.shard.inSync, this.proposedInSync)', 'countedReplicas(this.shard.inSync, [])'],
    [REPLICATION, 'if (this.joining) replicas.add(this.joining.member.replica);', ''],
  ),
  mutant('joinsWithoutFlush', 20, 'a learner flushes, behind all that was sent, before it joins', [
    JOINING,
    "peer.ask({ type: 'flush' }, this.#clock.monotonicMs(), flushed, () => undefined);",
    'flushed();',
  ]),
  mutant('notLevelled', 20, 'after a promotion every extent in a log is levelled', [
    LOADING,
    'for (const log of [own, ...rest]) if (log) peer.need.addAll(log);',
    'peer.need.clear();',
  ]),
  mutant('servedUnlevelled', 20, 'an extent is levelled before any read or write of it goes on', [
    REPLICATION,
    'if (this.gate.has(extent) || this.locks.has(extent)) return false',
    'if (this.locks.has(extent)) return false',
  ]),
  mutant('copiedUnlocked', 40, 'nothing is written to an extent while it is copied', [
    REPLICATION,
    'if (this.gate.has(extent) || this.locks.has(extent)) return false',
    'if (this.gate.has(extent)) return false',
  ]),
  mutant('notRestamped', 10, 'what is in flight when a replica leaves is stamped again', [
    SHARD,
    'if (gone.length > 0) replication.restampInFlight();',
    '',
  ]),
  mutant(
    'levellingUnstamped',
    50,
    'a levelling takes the later stamp and is stamped on everybody',
    [LEVELLER, 'if (level.inDoubt) this.#replication.restamp([level.extent]);', ''],
    ['agent/replica/apply.ts', 'if (store.stamp(level.extent) < level.stamp) store.setStamp(level.extent, level.stamp);', ''],
    [LOADING, 'this.#replication.restamp(own);', ''],
  ),
  mutant(
    'reconnectSkips',
    50,
    'who comes back while in sync is sent again all that is in flight',
    [SESSIONS, 'counts ? inFlight.settled : inFlight.last', 'inFlight.last'],
    [SESSIONS, 'if (counts) this.#replication.resend(peer);', ''],
  ),
  mutant('ownLogIgnored', 60, 'a learner is compared over its own log, too', [
    LOADING,
    'for (const set of [own, source, this.#replication.gate])',
    'for (const set of [source, this.#replication.gate])',
  ]),
  mutant(
    'cleanedUnsettled',
    50,
    'an extent stays in the log until all its writes are settled and nothing is to be levelled',
    [SESSION, 'const isDone = this.#mayClean ||', 'const isDone = true ||'],
    [SESSION, 'if (!this.#mayClean && this.#doneBelow === 0) return [];', ''],
    [SESSION, 'return sequence <= this.#applied && sequence <= this.#settled;', 'return sequence <= this.#applied;'],
  ),
  mutant('cleanedVolatile', 50, 'an extent leaves the log only when its data is durable', [
    'test/sim/store.ts',
    'this.platter.makeDurable(serial);\n        this.platter.removeIntents',
    'this.platter.removeIntents',
  ]),
  mutant('resumesTooLate', 10, 'what was done in a session of a version is compared again if stamped with it or later', [
    LOADING,
    'since: resumed.version }',
    'since: resumed.version + 1 }',
  ]),
  mutant('notesTooFar', 10, 'a learner is told only of extents that it does not need any more', [
    PROGRESS,
    'first < 0 ? need.extents : first',
    'need.extents',
  ]),
  mutant('copyOutlivesWriters', 50, 'what was in flight when a learner came stays in its log until it is settled', [
    PROGRESS,
    ' || !replication.knowsAllInDoubt(peer)) continue;',
    ') continue;',
  ]),
  mutant('copiesFromNeedy', 20, 'nothing is copied from a replica that needs it itself', [
    'agent/primary/source.ts',
    'return !gate.has(extent) && replication.isInSync(peer) && peer.isTrusted && !peer.need.has(extent);',
    'return !gate.has(extent) || replication.isInSync(peer);',
  ]),
  mutant(
    'sourceForgets',
    20,
    'what a crash took the stamp of is in the log of the source, or stamped again',
    [LOADING, 'this.#replication.restamp(own);', ''],
    ['test/sim/store.ts', '    changed.addAll(this.intents);\n', ''],
    ['agent/replica/store/store.ts', '    changed.addAll(this.intents);\n', ''],
  ),
  mutant('leftRenewed', 10, 'the version at which a replica left stays while it catches up', [
    'core/config.ts',
    'return leftAt === undefined ? rest : { ...rest, leftAt };',
    'return leftAt === undefined ? rest : { ...rest, leftAt: version };',
  ]),
  mutant(
    'flushedUncounted',
    100,
    'who joins is counted first, then flushes',
    [
      JOINING,
      '    replication.joining = peer;\n    this.#isFlushed = false;\n    replication.recount();\n    this.#announce();\n',
      '    if (link.flushes) return;\n    link.flushes = true;\n    this.#isFlushed = false;\n',
    ],
    [
      JOINING,
      'if (this.#countings !== counting || replication.joining !== peer || peer.link !== link) return;\n',
      'link.flushes = false;\n      if (this.#countings !== counting || replication.joining || peer.link !== link) return;\n      replication.joining = peer;\n      replication.recount();\n      this.#announce();\n',
    ],
  ),
  mutant('offeredTooEarly', 20, 'a size is offered when everyone who counts has it', [
    'agent/primary/growth.ts',
    'least = Math.min(least, peer.sizeBytes);',
    'least = Math.max(least, peer.sizeBytes);',
  ]),
  mutant('takesPartTooSmall', 10, 'nothing is sent to one that has no room for it', [
    SESSIONS,
    'if (peer.sizeBytes >= this.#replication.wantedBytes) return this.#takesPart(peer, sealed);',
    'if (peer.sizeBytes > 0) return this.#takesPart(peer, sealed);',
  ]),
  mutant('grownVolatile', 20, 'a replica says that it has grown when that is durable', [
    'agent/replica/grow.ts',
    'else changeMeta((meta) => ({ ...meta, sizeBytes: Math.max(meta.sizeBytes, sizeBytes) }), done);',
    'else {\n      done(null);\n      changeMeta((meta) => ({ ...meta, sizeBytes: Math.max(meta.sizeBytes, sizeBytes) }), () => undefined);\n    }',
  ]),
  mutant('scrubGuesses', 20, 'a scrub repairs only what more than half agree on', [
    'agent/primary/verdict.ts',
    '.length * 2 > each.length)',
    '.length * 2 >= each.length)',
  ]),
  mutant('scrubsNothing', 10, 'what rots on one replica is found and mended', [
    'agent/primary/verdict.ts',
    'if (each.every((digest) => digest.equals(each[0] ?? ZERO_DIGEST))) continue;',
    'if (each.length > 0) continue;',
  ]),
  mutant(
    'snapshotUnbarred',
    100,
    'a snapshot is made when nothing is in flight',
    [PRIMARY, 'holdsOperations: () => this.#snapshots.isUp,', 'holdsOperations: () => false,'],
    ['agent/primary/snapshot.ts', 'isSettled && isSealed && gate.size === 0 && locks.size === 0', 'isSealed'],
  ),
];
