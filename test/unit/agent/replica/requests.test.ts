/** What a replica is asked for beside reads and writes: to grow, to note how far it is, to digest runs of extents, to keep a snapshot. */
import { expect } from 'chai';
import { IoError } from '../../../../agent/ports.ts';
import { Replica } from '../../../../agent/replica/replica.ts';
import { EXTENT_BYTES } from '../../../../core/extent.ts';
import { snapshotUid } from '../../../../core/ids.ts';
import type { FromReplica, Operation, ResyncProgress } from '../../../../core/wire/messages.ts';
import { encodeBlock } from '../../../sim/layout.ts';
import { type BenchSession, configOf, ReplicaBench, SIZE_BYTES, sealOf } from '../../../support/replicaBench.ts';

const BLOCK = 4096;
const SNAPSHOT = snapshotUid('snap-1');

const write = (sequence: number, block: number, value: number): Operation => ({
  type: 'write',
  sequence,
  settled: 0,
  version: 7,
  offsetBytes: block * BLOCK,
  lengthBytes: BLOCK,
  chunks: [encodeBlock(value)],
});
/** In the platter a block is two pieces. */
const valueAt = (bench: ReplicaBench, block: number): number => bench.platter.value(block * 2);
const sealedOf = (session: BenchSession): Extract<FromReplica, { type: 'sealed' }> => {
  const [answer] = session.answers;
  if (answer?.type !== 'sealed') throw new Error(`not sealed: ${answer?.type}`);
  return answer;
};

describe('A replica that is asked', () => {
  let bench: ReplicaBench;
  beforeEach(() => {
    bench = new ReplicaBench();
  });

  describe('to grow', () => {
    it('says so when files and meta are durable, takes writes there then, and tells its size to the next session', () => {
      const session = bench.open();
      session.send({ type: 'resize', id: 3, sizeBytes: 2 * SIZE_BYTES });
      expect(session.types()).to.deep.equal(['sealed']);
      bench.complete('extend');
      expect([session.types(), bench.platter.meta.sizeBytes]).to.deep.equal([['sealed'], SIZE_BYTES]);
      bench.complete('meta');
      expect(session.answers.at(-1)).to.deep.equal({ type: 'done', id: 3 });
      session.send(write(1, SIZE_BYTES / BLOCK, 5));
      bench.complete();
      expect([valueAt(bench, SIZE_BYTES / BLOCK), session.types().at(-1)]).to.deep.equal([5, 'applied 1']);
      expect(sealedOf(bench.open(2)).sizeBytes).to.equal(2 * SIZE_BYTES);
    });

    it('takes nothing beyond its end before that, and never shrinks', () => {
      const session = bench.open();
      session.send({ type: 'resize', id: 3, sizeBytes: SIZE_BYTES / 2 }, { type: 'resize', id: 4, sizeBytes: SIZE_BYTES });
      expect(session.answers.slice(1)).to.deep.equal([
        { type: 'done', id: 3 },
        { type: 'done', id: 4 },
      ]);
      expect(bench.waiting).to.deep.equal([]);
      session.send({ type: 'resize', id: 5, sizeBytes: 2 * SIZE_BYTES }, write(1, SIZE_BYTES / BLOCK, 5));
      expect(session.closedWith).to.match(/write of 4096 bytes at 4194304 in a replica of 4194304 bytes/);
    });

    for (const part of ['growthFails', 'metaFails'] as const) {
      it(`says that it has no room (${part}), and is as sound as it was`, () => {
        const session = bench.open();
        bench[part] = new IoError('noSpace', 'the disk is full');
        session.send({ type: 'resize', id: 3, sizeBytes: 2 * SIZE_BYTES }, write(1, 0, 5));
        bench.complete();
        expect(session.answers).to.deep.include({ type: 'unable', id: 3, message: 'the disk is full' });
        expect([session.types().at(-1), session.closedWith, bench.platter.meta.failed]).to.deep.equal(['applied 1', null, null]);
        bench[part] = null;
        session.send({ type: 'resize', id: 4, sizeBytes: 2 * SIZE_BYTES });
        bench.complete();
        expect([session.answers.at(-1), bench.platter.meta.sizeBytes]).to.deep.equal([{ type: 'done', id: 4 }, 2 * SIZE_BYTES]);
      });
    }

    it('answers nobody when the session has ended meanwhile, and grows all the same', () => {
      const session = bench.open();
      session.send({ type: 'resize', id: 3, sizeBytes: 2 * SIZE_BYTES });
      bench.complete('extend');
      session.breaks();
      bench.complete();
      expect(session.types()).to.deep.equal(['sealed']);
      const again = bench.open(1);
      again.send({ type: 'resize', id: 4, sizeBytes: 3 * SIZE_BYTES });
      bench.complete();
      expect([again.answers.at(-1), bench.platter.meta.sizeBytes]).to.deep.equal([{ type: 'done', id: 4 }, 3 * SIZE_BYTES]);
    });
  });

  describe('to note how far catching up is', () => {
    const progress: ResyncProgress = { since: 3, version: 5, below: 2 };

    it('makes durable what was copied, then notes it, then says so; the next session is told', () => {
      const session = bench.open();
      session.send({ type: 'progress', id: 3, ...progress });
      expect([bench.waiting, session.types()]).to.deep.equal([['flush'], ['sealed']]);
      bench.complete('flush');
      expect([bench.platter.meta.resync, session.types()]).to.deep.equal([null, ['sealed']]);
      bench.complete('meta');
      expect([bench.platter.meta.resync, session.answers.at(-1)]).to.deep.equal([progress, { type: 'done', id: 3 }]);
      bench.restart();
      expect(sealedOf(bench.seal({ ...sealOf(1, 1), config: learning(1) })).resync).to.deep.equal(progress);
    });

    const learning = (epoch: number, version = epoch) => ({
      ...configOf(epoch, version),
      shards: configOf(epoch, version).shards.map(({ members }) => ({ members, inSync: [] })),
    });

    it('forgets it with the first config in which it is in sync, seen or sealed', () => {
      const noted = () => {
        const session = bench.seal({ ...sealOf(1, 1, 1), config: learning(1, 1) });
        bench.complete();
        session.send({ type: 'progress', id: 3, ...progress });
        bench.complete();
        expect(bench.platter.meta.resync).to.deep.equal(progress);
      };
      noted();
      bench.replica.observe(learning(1, 2));
      bench.complete();
      expect(bench.platter.meta.resync).to.deep.equal(progress);
      bench.replica.observe(configOf(1, 3));
      bench.complete();
      expect(bench.platter.meta.resync).to.equal(null);
      bench = new ReplicaBench();
      noted();
      expect(sealedOf(bench.open(2)).resync).to.equal(null);
    });

    it('notes nothing when what was copied cannot be made durable', () => {
      const session = bench.open();
      bench.flushFails = true;
      session.send({ type: 'progress', id: 3, ...progress });
      bench.complete();
      expect([session.types(), bench.platter.meta.resync]).to.deep.equal([['sealed', 'failed'], null]);
    });
  });

  describe('for a digest of a run of extents', () => {
    it('works it off one extent a turn, with everything else in between', () => {
      const turns: (() => void)[] = [];
      bench.replica = new Replica({
        store: bench.storeOf(),
        nextTurn: (work) => turns.push(work),
        clock: { monotonicMs: () => bench.nowMs, wallMs: () => bench.nowMs },
        events: { failed: () => undefined, sessionOpened: () => undefined, sessionEnded: () => undefined, protocolError: () => undefined },
      });
      const session = bench.open();
      session.send({ type: 'summary', id: 3, extent: 0, extents: 3 }, { type: 'summary', id: 4, extent: 3, extents: 1 });
      session.send({ type: 'read', id: 5, offsetBytes: 0, lengthBytes: BLOCK });
      expect(session.types()).to.deep.equal(['sealed', 'data']);
      let count = 0;
      for (let turn = turns.shift(); turn; turn = turns.shift()) {
        turn();
        count++;
      }
      expect([count, session.types()]).to.deep.equal([4, ['sealed', 'data', 'summaryDigest', 'summaryDigest']]);
    });

    it('that reaches beyond its end breaks a rule', () => {
      const session = bench.open();
      session.send({ type: 'summary', id: 3, extent: 1, extents: SIZE_BYTES / EXTENT_BYTES });
      expect(session.closedWith).to.equal('summary of extent 4 of 4');
    });
  });

  describe('to keep a snapshot', () => {
    const snapshot = { type: 'snapshot', id: 9, snapshot: SNAPSHOT, attempt: 4 } as const;

    it('flushes what came before, keeps it, and says so', () => {
      const session = bench.open();
      session.send(write(1, 0, 5), snapshot);
      expect(bench.waiting).to.deep.equal(['intents']);
      bench.complete('intents');
      expect(bench.waiting).to.deep.equal(['flush']);
      bench.complete('flush');
      expect([bench.waiting, session.types()]).to.deep.equal([['snapshot'], ['sealed', 'applied 1']]);
      bench.complete('snapshot');
      expect(session.answers.at(-1)).to.deep.equal({ type: 'done', id: 9 });
      expect(bench.platter.kept.get(`${SNAPSHOT}.4`)?.get(0)).to.equal(5);
    });

    it('changes nothing until it is kept, in whatever order, and goes on then; reads, flushes and leases do not wait', () => {
      const session = bench.open();
      session.send(write(1, 0, 5), write(2, 256, 5));
      bench.complete();
      session.send(snapshot, { type: 'read', id: 10, offsetBytes: 0, lengthBytes: BLOCK }, write(3, 0, 6));
      session.send({ type: 'read', id: 11, offsetBytes: 0, lengthBytes: BLOCK });
      session.send({ type: 'ping', id: 12, settled: 0, leaseMs: 500, mayClean: false });
      expect(session.types().slice(1)).to.deep.equal(['applied 2', 'data', 'pong']);
      bench.complete('flush');
      expect(valueAt(bench, 0)).to.equal(5);
      bench.complete('snapshot');
      expect(session.types().slice(-3), 'the read behind the write came behind it').to.deep.equal(['done', 'data', 'applied 3']);
      expect([valueAt(bench, 0), bench.platter.kept.get(`${SNAPSHOT}.4`)?.get(0)]).to.deep.equal([6, 5]);
    });

    it('answers nobody when the session has ended meanwhile; a later one is promised to at once, and begins when nothing is kept any more', () => {
      const session = bench.open();
      session.send(snapshot);
      bench.complete('flush');
      const later = [bench.seal(sealOf(1)), bench.seal(sealOf(2, 2))];
      bench.complete('meta');
      expect([bench.platter.meta.promisedEpoch, later.map((each) => each.types())]).to.deep.equal([2, [[], []]]);
      bench.complete('snapshot');
      expect([session, ...later].map((each) => each.types())).to.deep.equal([['sealed'], [], ['sealed']]);
    });

    it('that it cannot keep says why, and goes on', () => {
      const session = bench.open();
      bench.snapshotFails = 'snapshots: unsupported on pool fast (its file system cannot share blocks)';
      session.send(snapshot, write(1, 0, 6));
      bench.complete();
      expect(session.answers.slice(1)).to.deep.equal([
        { type: 'unable', id: 9, message: 'snapshots: unsupported on pool fast (its file system cannot share blocks)' },
        { type: 'applied', sequence: 1 },
      ]);
      expect(bench.replica.failed).to.equal(null);
    });

    it('is failed for good when what came before cannot be made durable', () => {
      const session = bench.open();
      bench.flushFails = true;
      session.send(snapshot);
      bench.complete();
      expect([session.types(), bench.platter.kept.size]).to.deep.equal([['sealed', 'failed'], 0]);
    });
  });
});
