/** What a replica promises, in which order it does things, and whom it refuses. */
import { expect } from 'chai';
import { IoError } from '../../../../agent/ports.ts';
import { LINGER_MS } from '../../../../agent/replica/heat.ts';
import { CLEAN_INTERVAL_MS, LEASE_DRIFT } from '../../../../agent/replica/replica.ts';
import { EXTENT_BYTES } from '../../../../core/extent.ts';
import { replicaId } from '../../../../core/ids.ts';
import { LOG_ONLY, type Operation, type ToReplica } from '../../../../core/wire/messages.ts';
import { encodeBlock } from '../../../sim/layout.ts';
import { configOf, LEASE_MS, ReplicaBench, SIZE_BYTES, sealOf } from '../../../support/replicaBench.ts';

const BLOCK = 4096;

const write = (sequence: number, block: number, value: number, settled = 0): Operation => ({
  type: 'write',
  sequence,
  settled,
  version: 7,
  offsetBytes: block * BLOCK,
  lengthBytes: BLOCK,
  chunks: [encodeBlock(value)],
});
const restamp = (version: number): Operation => ({ type: 'restamp', sequence: 1, settled: 0, version, extents: [0] });
const level = (change: Partial<Extract<ToReplica, { type: 'level' }>>): ToReplica => ({
  ...{ type: 'level', id: 1, extent: 0, stamp: 7, runs: [] },
  ...change,
});
const ping = (settled: number, mayClean: boolean, id = 99): ToReplica => ({ type: 'ping', id, settled, leaseMs: LEASE_MS, mayClean });

describe('A replica', () => {
  let bench: ReplicaBench;
  beforeEach(() => {
    bench = new ReplicaBench();
  });

  describe('and its promise', () => {
    it('answers a Seal when the promise is durable, not before', () => {
      const session = bench.seal(sealOf(3));
      expect(session.types()).to.deep.equal([]);
      expect(bench.platter.meta.promisedEpoch).to.equal(0);
      bench.complete('meta');
      expect(bench.platter.meta.promisedEpoch).to.equal(3);
      expect(session.types()).to.deep.equal(['sealed']);
    });

    it('refuses a lower epoch, another instance of its epoch, and a config older than it has seen', () => {
      bench.open(3, 1);
      const refusals = [sealOf(2, 1, 9), sealOf(3, 2, 9), sealOf(3, 1, 2)].map((seal) => bench.seal(seal));
      expect(refusals.map(({ answers: [answer] }) => answer?.type === 'refused' && answer.code)).to.deep.equal([
        'fenced',
        'fenced',
        'newerConfig',
      ]);
      expect(refusals.every(({ closedWith }) => closedWith !== null)).to.equal(true);
    });

    it('is fenced by a config that its own agent has seen, also after a restart', () => {
      const session = bench.open(1);
      bench.replica.observe(configOf(2, 5, 2));
      expect(session.closedWith).to.contain('epoch 2');
      session.send(write(1, 0, 5));
      bench.complete();
      expect(bench.platter.value(0)).to.equal(0);
      bench.restart();
      const [answer] = bench.seal(sealOf(1, 1, 9)).answers;
      expect(answer).to.deep.include({ type: 'refused', code: 'fenced', promisedEpoch: 2 });
    });
  });

  describe('and a write', () => {
    it('marks the extent durably, then writes and stamps it, then says so', () => {
      const session = bench.open();
      session.send(write(1, 0, 5));
      expect([bench.waiting, bench.platter.value(0), session.types()]).to.deep.equal([['intents'], 0, ['sealed']]);
      bench.complete('intents');
      expect([...bench.platter.intents]).to.deep.equal([0]);
      expect(bench.platter.value(0)).to.equal(5);
      expect(session.types()).to.deep.equal(['sealed', 'applied 1']);
      session.send({ type: 'digest', id: 1, extent: 0, stampOnly: false });
      expect(session.answers.at(-1)).to.deep.include({ type: 'digests', stamp: 7 });
    });

    it('marks the extents of a whole burst in one commit, and acknowledges it in one', () => {
      const session = bench.open();
      session.send(write(1, 0, 5), write(2, 256, 6), write(3, 600, 7));
      expect(bench.waiting).to.deep.equal(['intents']);
      bench.complete();
      expect(session.types()).to.deep.equal(['sealed', 'applied 3']);
    });

    it('answers a read behind the writes before it, and a flush out of turn', () => {
      const session = bench.open();
      session.send(write(1, 0, 5), { type: 'flush', id: 1 }, { type: 'read', id: 2, offsetBytes: 0, lengthBytes: BLOCK });
      expect(session.types()).to.deep.equal(['sealed']);
      bench.complete('intents');
      expect(session.types()).to.deep.equal(['sealed', 'data', 'applied 1']);
      expect(bench.platter.durableValue(0)).to.equal(0);
      bench.complete('flush');
      expect(session.types()).to.deep.equal(['sealed', 'data', 'applied 1', 'done']);
      expect(bench.platter.durableValue(0)).to.equal(5);
    });
  });

  describe('and a digest', () => {
    const summaryOf = (session: ReturnType<typeof bench.open>, extents: number) => {
      session.send({ type: 'summary', id: 1, extent: 0, extents });
      const answer = session.answers.at(-1);
      return answer?.type === 'summaryDigest' ? answer.digest.toString('hex') : null;
    };

    it('gives the stamp alone when nothing else is asked for', () => {
      const session = bench.open();
      session.send(write(1, 0, 5));
      bench.complete('intents');
      session.send({ type: 'digest', id: 1, extent: 0, stampOnly: true });
      expect(session.answers.at(-1)).to.deep.equal({ type: 'digests', id: 1, stamp: 7, digests: null });
    });

    it('of a run of extents tells one block from another, and not what is zeroed from what was never written', () => {
      const session = bench.open();
      const untouched = summaryOf(session, 4);
      session.send(write(1, 256, 5));
      bench.complete('intents');
      const written = summaryOf(session, 4);
      expect(summaryOf(session, 1)).to.not.equal(summaryOf(session, 4));
      session.send(write(2, 256, 0));
      expect([untouched === written, untouched === summaryOf(session, 4)]).to.deep.equal([false, true]);
    });

    it('of a run of extents is of use to its own primary only', () => {
      const before = summaryOf(bench.open(1), 4);
      expect(summaryOf(bench.open(2), 4)).to.not.equal(before);
    });
  });

  describe('and its sessions', () => {
    it('applies nothing of an earlier session once a later one is sealed', () => {
      const earlier = bench.open();
      earlier.send(write(1, 0, 5));
      const later = bench.open();
      expect(later.types()).to.deep.equal(['sealed']);
      expect(earlier.closedWith).to.equal('another session was opened');
      earlier.send(write(2, 1, 6));
      bench.complete();
      expect([bench.platter.value(0), bench.platter.value(1), earlier.types()]).to.deep.equal([0, 0, ['sealed']]);
    });

    for (const { what, messages, rule } of [
      { what: 'a gap in the sequence', messages: [write(1, 0, 5), write(3, 0, 6)], rule: 'operation 3 after 1' },
      { what: 'a second Seal', messages: [sealOf(1)], rule: 'a second Seal' },
      { what: 'a read beyond the end', messages: [{ type: 'read', id: 1, offsetBytes: SIZE_BYTES, lengthBytes: 1 }], rule: 'bytes at' },
      { what: 'a run of extents beyond the end', messages: [{ type: 'summary', id: 1, extent: 3, extents: 2 }], rule: 'extent 4 of 4' },
      { what: 'an extent that is not there', messages: [{ type: 'digest', id: 1, extent: 4, stampOnly: false }], rule: 'extent 4 of 4' },
      { what: 'a stamp that no file can hold', messages: [{ ...write(1, 0, 5), version: 2 ** 48 }], rule: 'version 281474976710656' },
      { what: 'a restamp with such a one', messages: [restamp(2 ** 53 - 1)], rule: 'restamp of version' },
      { what: 'a level with such a one', messages: [level({ stamp: 2 ** 48 })], rule: 'level of version' },
      {
        what: 'a level of blocks with too little data',
        messages: [level({ runs: [{ block: 0, blocks: 1, data: [Buffer.alloc(9)] }] })],
        rule: '9 bytes of data',
      },
      {
        what: 'a size that is not of whole blocks',
        messages: [{ type: 'resize', id: 1, sizeBytes: SIZE_BYTES + 1 }],
        rule: 'resize to 4194305',
      },
      {
        what: 'a size that no replica has',
        messages: [{ type: 'resize', id: 1, sizeBytes: 2 ** 46 + 4096 }],
        rule: 'resize to 70368744181760',
      },
    ] as { what: string; messages: ToReplica[]; rule: string }[]) {
      it(`ends one for ${what}, and says which rule was broken`, () => {
        const session = bench.open();
        session.send(...messages);
        expect(session.closedWith).to.contain(rule);
        expect(bench.events.at(-1)).to.contain('ended');
        expect(bench.events.join()).to.contain('protocol');
      });
    }
  });

  describe('and its leases', () => {
    const remaining = (epoch: number, primary: number) => {
      const [answer] = bench.open(epoch, primary).answers;
      return answer?.type === 'sealed' ? answer.leaseRemainingMs : Number.NaN;
    };

    it('tells a new primary how long the one of before may believe in its own, and the same primary nothing', () => {
      const session = bench.open(1, 1);
      session.send(ping(0, false));
      expect(session.types()).to.include('pong');
      bench.nowMs += 300;
      expect(remaining(1, 1)).to.equal(0);
      expect(remaining(2, 2)).to.equal(LEASE_MS * LEASE_DRIFT - 300);
    });

    it('forgets one that is given back', () => {
      const session = bench.open(1, 1);
      session.send(ping(0, false), { type: 'release' });
      expect(remaining(2, 2)).to.equal(0);
    });

    it('keeps one whose session broke', () => {
      const session = bench.open(1, 1);
      session.send(ping(0, false));
      session.breaks();
      expect(remaining(2, 2)).to.equal(LEASE_MS * LEASE_DRIFT);
    });

    it('counts a whole one from its start when it was promised to anybody before', () => {
      bench.open(1, 1);
      bench.restart();
      expect(remaining(2, 2)).to.equal(LEASE_MS * LEASE_DRIFT);
    });

    it('notes one that is longer than any before durably before it is granted, and waits it out after a restart', () => {
      const session = bench.open(1, 1);
      session.send({ type: 'ping', id: 9, settled: 0, leaseMs: 5 * LEASE_MS, mayClean: false });
      expect(session.types()).to.not.include('pong');
      bench.complete();
      expect(session.types()).to.include('pong');
      bench.restart();
      expect(remaining(2, 2)).to.equal(5 * LEASE_MS * LEASE_DRIFT);
    });

    it('never takes a longer one back for a shorter one', () => {
      const session = bench.open(1, 1);
      session.send(ping(0, false), { type: 'ping', id: 9, settled: 0, leaseMs: 10, mayClean: false });
      expect(remaining(2, 2)).to.equal(LEASE_MS * LEASE_DRIFT);
    });

    it('grants none for whoever has not been sealed', () => {
      expect(remaining(1, 1)).to.equal(0);
    });
  });

  describe('and its intent log', () => {
    const later = () => {
      bench.nowMs += CLEAN_INTERVAL_MS + LINGER_MS;
      bench.replica.tick();
      bench.complete();
    };
    const written = () => {
      const session = bench.open();
      session.send(write(1, 0, 5));
      bench.complete();
      return session;
    };

    it('keeps an extent until its writes are settled and nothing is to be levelled', () => {
      const session = written();
      later();
      session.send(ping(0, true));
      later();
      session.send(ping(1, false));
      later();
      expect([...bench.platter.intents]).to.deep.equal([0]);
      session.send(ping(1, true));
      later();
      expect([...bench.platter.intents]).to.deep.equal([]);
      expect([bench.platter.durableValue(0), bench.platter.notes[0]?.stamp]).to.deep.equal([5, 7]);
    });

    it('keeps an extent that is written while it is being cleaned', () => {
      const session = written();
      session.send(ping(1, true));
      bench.nowMs += CLEAN_INTERVAL_MS + LINGER_MS;
      bench.replica.tick();
      session.send(write(2, 1, 6, 1));
      session.send(ping(2, true));
      bench.complete();
      expect([...bench.platter.intents]).to.deep.equal([0]);
    });

    it('notes what comes next along for a new learner only: what others have is compared only where a log names it', () => {
      const inSync = configOf(1, 1);
      const [member] = inSync.shards[0]?.members ?? [];
      const other = { replica: replicaId('00000000000000bb'), node: 'node-b', pool: 'pool' };
      const noted = (leftAt?: number, isInSync = false): number[] => {
        bench = new ReplicaBench();
        const self = leftAt === undefined ? member : member && { ...member, leftAt };
        const shard = { members: self ? [self, other] : [], inSync: isInSync && self ? [self.replica] : [other.replica] };
        const session = bench.seal({ ...sealOf(1), config: { ...inSync, shards: [shard] } });
        bench.complete();
        session.send({ type: 'level', id: 1, extent: 1, stamp: 8, runs: [{ block: 0, blocks: 1, data: null }] });
        bench.complete();
        return [...bench.platter.intents];
      };
      expect(noted()).to.deep.equal([1, 2, 3]);
      expect(noted(1)).to.deep.equal([1]);
      expect(noted(undefined, true)).to.deep.equal([1]);
    });

    it('keeps what is levelled until the primary says again that nothing is in doubt', () => {
      const session = written();
      session.send(ping(1, true), { type: 'level', id: 1, extent: 0, stamp: 8, runs: [{ block: 0, blocks: 1, data: null }] });
      later();
      expect([...bench.platter.intents]).to.deep.equal([0]);
      expect(bench.platter.value(0)).to.equal(0);
    });

    it('lets what a learner has done leave, but not what is levelled again or not settled', () => {
      const session = bench.open();
      const levelled = { type: 'level', id: 1, stamp: 8, runs: [{ block: 0, blocks: 1, data: null }] } as const;
      session.send({ ...levelled, extent: 0 }, { ...levelled, extent: 1 }, { ...levelled, extent: 3 });
      bench.complete();
      session.send({ type: 'progress', id: 2, since: 3, version: 6, below: 3 }, { ...levelled, id: 3, extent: 1 }, write(1, 512, 5));
      bench.complete();
      session.send(ping(0, false));
      expect(bench.platter.meta.resync).to.deep.equal({ since: 3, version: 6, below: 3 });
      later();
      expect([...bench.platter.intents]).to.deep.equal([1, 2, 3]);
      session.send(ping(1, false));
      later();
      expect([...bench.platter.intents]).to.deep.equal([1, 3]);
    });

    it('tells the log alone, or all that was stamped since a version', () => {
      const session = written();
      session.send(ping(1, true));
      later();
      session.send({ type: 'changed', id: 1, since: LOG_ONLY }, { type: 'changed', id: 2, since: 7 }, { type: 'changed', id: 3, since: 8 });
      const sets = session.answers.flatMap((answer) => (answer.type === 'changedSet' ? [[...answer.extents]] : []));
      expect(sets).to.deep.equal([[], [0], []]);
    });
  });

  describe('and a power loss', () => {
    it('is suspect until its log of then is levelled, durably', () => {
      bench.platter.meta = { ...bench.platter.meta, suspect: true, promisedEpoch: 1 };
      bench.restart();
      const session = bench.open(2);
      expect(session.answers[0]).to.deep.include({ type: 'sealed', suspect: true });
      session.send(ping(0, true));
      bench.nowMs += CLEAN_INTERVAL_MS;
      bench.replica.tick();
      bench.complete('flush');
      expect(bench.platter.meta.suspect).to.equal(true);
      bench.complete();
      expect(bench.platter.meta.suspect).to.equal(false);
    });
  });

  describe('whose disk fails', () => {
    it('says so when that is durable, and answers no Seal any more, also after a restart', () => {
      const session = bench.open();
      bench.flushFails = true;
      session.send({ type: 'flush', id: 1 });
      bench.complete('flush');
      bench.complete();
      expect(session.types()).to.deep.equal(['sealed', 'failed']);
      expect(session.closedWith).to.contain('failed');
      expect(bench.platter.meta.failed).to.contain('fdatasync');
      bench.restart();
      expect(bench.seal(sealOf(2)).answers[0]).to.deep.include({ type: 'refused', code: 'failed' });
    });

    it('is none that fails because it is closed while its meta is saved', () => {
      bench.open();
      bench.replica.observe(configOf(1, 5));
      bench.replica.observe(configOf(1, 6));
      bench.replica.close(() => bench.events.push('closed'));
      bench.complete();
      expect(bench.events.filter((event) => event.startsWith('failed'))).to.deep.equal([]);
      expect(bench.events).to.include('closed');
      expect(bench.platter.meta.failed).to.equal(null);
    });

    for (const code of ['noSpace', 'invalid'] as const) {
      it(`has not failed for good when its meta cannot be saved: ${code}`, () => {
        const session = bench.open();
        bench.metaFails = new IoError(code, 'no');
        bench.replica.observe(configOf(1, 5));
        expect(session.closedWith).to.equal(null);
        expect(bench.seal(sealOf(2, 1, 6)).types()).to.deep.equal(['failed']);
        bench.replica.observe(configOf(3, 7));
        expect(bench.events.filter((event) => event.startsWith('failed'))).to.deep.equal([]);
        bench.metaFails = null;
        expect(bench.open(3).types()).to.deep.equal(['sealed']);
        expect(bench.platter.meta).to.deep.include({ promisedEpoch: 3, failed: null });
      });
    }

    it('applies nothing behind the failure', () => {
      const session = bench.open();
      bench.flushFails = true;
      session.send({ type: 'flush', id: 1 }, write(1, EXTENT_BYTES / BLOCK, 5));
      bench.complete('flush');
      bench.complete();
      expect(bench.platter.value(EXTENT_BYTES / BLOCK)).to.equal(0);
      expect(session.types()).to.not.include('applied 1');
    });
  });
});
