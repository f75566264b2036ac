/** What a primary does, step by step, with replicas that answer when they are let. */
import { expect } from 'chai';
import { LEARNER_BACKLOG_BYTES_MAX } from '../../../../agent/primary/replication.ts';
import { digestBlocks } from '../../../../agent/replica/digest.ts';
import { EXTENT_BYTES } from '../../../../core/extent.ts';
import { encodeBlock } from '../../../sim/layout.ts';
import { idOf, PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';

const serving = (options: ConstructorParameters<typeof PrimaryBench>[0]): PrimaryBench => {
  const bench = new PrimaryBench(options);
  bench.pass(500);
  expect(bench.events).to.deep.equal(['socket opens']);
  return bench;
};

/** Of an extent that begins with these blocks. */
const digestOf = (...blocks: Buffer[]) => digestBlocks(Buffer.concat(blocks, EXTENT_BYTES));

describe('A primary', () => {
  describe('that is promoted', () => {
    it('opens its socket when all are sealed and one lease of before has run out', () => {
      const bench = new PrimaryBench({
        inSync: 'ab',
        before: ({ replicas }) => {
          for (const replica of replicas.values()) replica.leaseRemainingMs = replica.letter === 'a' ? 900 : 600;
        },
      });
      bench.pass(550);
      expect([bench.primary.phase, bench.events]).to.deep.equal(['waiting', []]);
      bench.pass(100);
      expect(bench.events).to.deep.equal(['socket opens']);
    });

    it('drops who does not come up, and serves without', () => {
      const bench = new PrimaryBench({
        inSync: 'ab',
        before: (made) => {
          made.replica('b').isReachable = false;
        },
      });
      bench.pass(500);
      expect(bench.proposed()).to.deep.equal([]);
      bench.pass(4_000);
      expect(bench.proposed()).to.deep.equal(['a']);
      expect(bench.events).to.deep.equal([]);
      bench.lands();
      bench.pass(200);
      expect(bench.events).to.deep.equal(['socket opens']);
    });

    it('levels what is in a log before it is read, from the authority onto the other', () => {
      const bench = new PrimaryBench({
        inSync: 'ab',
        before: (made) => {
          made.replica('b').log = [2];
          made.replica('b').mute.add('level');
          made.replica('a').digest = digestOf(encodeBlock(7));
        },
      });
      bench.pass(500);
      bench.read(0);
      bench.read(600);
      bench.settle();
      expect(bench.answers).to.deep.equal(['read 0: from a']);
      expect(bench.replica('b').told('level')).to.deep.equal(['level 2 of 0+1']);
      bench.replica('b').mute.clear();
      bench.pass(100);
      expect(bench.answers).to.deep.equal(['read 0: from a', 'read 600: from a']);
      expect(bench.replica('a').told('restamp')).to.include('restamp 2 v20 of 2');
    });
  });

  describe('and a write', () => {
    it('acknowledges it when everyone counted has applied it', () => {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('write');
      bench.write(0);
      bench.settle();
      expect(bench.answers).to.deep.equal([]);
      bench.replica('b').mute.clear();
      bench.settle();
      expect(bench.answers).to.deep.equal(['write 0: done']);
    });

    it('acknowledges it without one that broke only when etcd says so and the others have stamped it again', () => {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('write');
      bench.write(0);
      bench.settle();
      bench.replica('b').breaks();
      bench.pass(200);
      expect(bench.proposed()).to.deep.equal(['a']);
      expect(bench.answers).to.deep.equal([]);
      bench.replica('a').mute.add('restamp');
      bench.lands();
      bench.settle();
      expect(bench.answers).to.deep.equal([]);
      bench.replica('a').mute.clear();
      bench.settle();
      expect(bench.replica('a').told('write', 'restamp')).to.deep.equal(['write 1 v20', 'restamp 2 v21 of 0']);
      expect(bench.answers).to.deep.equal(['write 0: done']);
    });

    it('keeps it waiting where minInSync forbids to go on, and sends it again, in order, to the one that returns', () => {
      const bench = serving({ inSync: 'ab', minInSync: 2 });
      bench.replica('b').mute.add('write');
      bench.write(0);
      bench.write(1);
      bench.settle();
      bench.replica('b').breaks();
      bench.pass(1_000);
      bench.write(2);
      expect([bench.proposed(), bench.answers]).to.deep.equal([[], []]);
      Object.assign(bench.replica('b'), { isReachable: true, log: [0] });
      bench.replica('b').mute.clear();
      bench.pass(2_500);
      expect(bench.replica('b').told('write').slice(2)).to.deep.equal(['write 1 v20', 'write 2 v20', 'write 3 v20']);
      expect(bench.replica('b').told('level')).to.deep.equal(['level 0 of ']);
      expect(bench.answers).to.deep.equal(['write 0: done', 'write 1: done', 'write 2: done']);
    });

    it('fails it after ioTimeoutMs, and keeps it in flight', () => {
      const bench = serving({ inSync: 'ab', minInSync: 2 });
      bench.replica('b').breaks();
      bench.write(0);
      bench.pass(SETTINGS.ioTimeoutMs + 200);
      expect(bench.answers).to.deep.equal(['write 0: io']);
      bench.replica('b').isReachable = true;
      bench.pass(3_000);
      expect(bench.replica('b').told('write')).to.deep.equal(['write 1 v20']);
      expect(bench.answers).to.deep.equal(['write 0: io']);
    });
  });

  describe('and its leases', () => {
    it('holds every reply until all have granted one', () => {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('ping');
      bench.pass(SETTINGS.leaseMs);
      bench.read(0);
      bench.write(300);
      bench.settle();
      expect(bench.answers).to.deep.equal([]);
      bench.replica('b').mute.clear();
      bench.pass(100);
      expect(bench.answers).to.have.members(['read 0: from a', 'write 300: done']);
    });
  });

  describe('and a flush', () => {
    it('waits for everyone counted, and asks one that returns again', () => {
      const bench = serving({ inSync: 'ab', minInSync: 2 });
      bench.replica('b').mute.add('flush');
      bench.flush();
      bench.settle();
      bench.replica('b').breaks();
      bench.pass(300);
      expect(bench.answers).to.deep.equal([]);
      bench.replica('b').isReachable = true;
      bench.replica('b').mute.clear();
      bench.pass(2_500);
      expect(bench.answers).to.deep.equal(['flush: done']);
      expect(bench.replica('b').told('flush').length).to.equal(2);
    });

    it('does not wait for one that has left', () => {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('flush');
      bench.flush();
      bench.settle();
      bench.replica('b').breaks();
      bench.pass(100);
      bench.lands();
      bench.settle();
      expect(bench.answers).to.deep.equal(['flush: done']);
    });

    it('with force unit access comes after the write, and before its answer', () => {
      const bench = serving({ inSync: 'a' });
      bench.replica('a').mute.add('flush');
      bench.write(0, 'write', true);
      bench.settle();
      expect(bench.answers).to.deep.equal([]);
      bench.replica('a').mute.clear();
      bench.settle();
      expect(bench.answers).to.deep.equal(['write: done']);
    });
  });

  describe('and a learner', () => {
    it('asks the source what was stamped since it left and both for their logs, copies only what differs, flushes it, and takes it in', () => {
      const left = (made: PrimaryBench) => {
        made.replica('a').stamped = [3];
        made.replica('a').digest = digestOf(Buffer.alloc(4096), encodeBlock(9));
        for (const member of made.config.shards[0]?.members ?? []) if (member.replica === idOf('b')) member.leftAt = 12;
      };
      const bench = serving({ inSync: 'a', learners: 'b', before: left });
      expect(bench.replica('a').told('changed')).to.deep.equal(['log', 'changed since 12']);
      expect(bench.replica('b').told('changed')).to.deep.equal(['log']);
      expect(bench.replica('b').told('level', 'flush')).to.deep.equal(['level 3 of 1+1', 'flush']);
      expect(bench.proposed()).to.deep.equal(['ab']);
    });

    it('counts it from before it is proposed', () => {
      const bench = serving({ inSync: 'a', learners: 'b', before: (made) => made.replica('b').mute.add('flush') });
      expect(bench.proposed()).to.deep.equal([]);
      bench.replica('b').mute.add('write');
      bench.write(0);
      bench.settle();
      expect(bench.answers).to.deep.equal([]);
    });

    it('makes it a learner again when its session breaks before it is proposed', () => {
      const bench = serving({ inSync: 'a', learners: 'b', before: (made) => made.replica('b').mute.add('flush') });
      bench.replica('b').mute.add('write');
      bench.write(0);
      bench.settle();
      bench.replica('b').breaks();
      bench.settle();
      expect(bench.answers).to.deep.equal(['write 0: done']);
    });

    it('exchanges it for one that is lost where minInSync forbids less', () => {
      const bench = serving({ inSync: 'ab', learners: 'c', minInSync: 2, before: (made) => made.replica('c').mute.add('flush') });
      bench.replica('b').breaks();
      bench.pass(1_000);
      expect(bench.proposed()).to.deep.equal([]);
      bench.replica('c').mute.clear();
      bench.pass(100);
      expect(bench.proposed()).to.deep.equal(['ac']);
    });

    it('is dialled at once when an agent has come to its node', () => {
      const bench = serving({ inSync: 'a', learners: 'b', before: (made) => Object.assign(made.replica('b'), { isReachable: false }) });
      bench.pass(5_000);
      bench.replica('b').isReachable = true;
      bench.primary.reachable('node-c');
      bench.settle();
      expect(bench.replica('b').isConnected).to.equal(false);
      bench.primary.reachable('node-b');
      bench.settle();
      expect(bench.replica('b').isConnected).to.equal(true);
    });

    it('drops its session when it lags too far behind, and sends the others every operation in order', () => {
      const bench = serving({ inSync: 'a', learners: 'b', before: (made) => made.replica('b').mute.add('flush').add('changed') });
      bench.replica('b').bufferedBytes = LEARNER_BACKLOG_BYTES_MAX + 1;
      bench.write(0);
      bench.write(1);
      bench.settle();
      expect(bench.replica('b').isConnected).to.equal(false);
      expect(bench.replica('a').told('write')).to.deep.equal(['write 1 v20', 'write 2 v20']);
      expect(bench.answers).to.deep.equal(['write 0: done', 'write 1: done']);
    });

    it('asks the next authority when the one that was asked is gone', () => {
      const bench = serving({ inSync: 'ab', learners: 'c', before: (made) => made.replica('c').mute.add('changed') });
      bench.replica('a').breaks();
      bench.pass(100);
      bench.lands();
      bench.replica('c').mute.clear();
      bench.pass(100);
      expect(bench.replica('b').told('changed')).to.include('changed since 0');
      expect(bench.proposed().at(-1)).to.equal('bc');
    });
  });

  describe('and a member that is to leave', () => {
    const leave = (bench: PrimaryBench, letter: string) =>
      bench.lands((config) => ({
        ...config,
        shards: config.shards.map((shard) => ({
          ...shard,
          members: shard.members.map((member) => (member.replica === idOf(letter) ? { ...member, leaving: true as const } : member)),
        })),
      }));

    it('drops it at once when the others are in sync', () => {
      const bench = serving({ inSync: 'ab' });
      leave(bench, 'b');
      expect(bench.proposed()).to.deep.equal(['a']);
      bench.lands();
      bench.pass(100);
      expect(bench.replica('b').isConnected).to.equal(false);
    });

    it('keeps it until its successor has caught up', () => {
      const bench = serving({ inSync: 'ab', learners: 'c', minInSync: 2, before: (made) => made.replica('c').mute.add('flush') });
      leave(bench, 'b');
      bench.pass(500);
      expect(bench.proposed()).to.deep.equal([]);
      bench.replica('c').mute.clear();
      bench.pass(100);
      expect(bench.proposed()).to.deep.equal(['ac']);
    });
  });

  describe('that lets go', () => {
    const mode = (bench: PrimaryBench, wanted: 'release' | 'background') =>
      bench.lands((config) => ({ ...config, primary: config.primary && { ...config.primary, mode: wanted } }));

    it('closes its socket, settles what is in flight, gives the leases back, and only then writes that nobody is the primary', () => {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('write');
      bench.write(0);
      bench.settle();
      mode(bench, 'release');
      bench.pass(200);
      expect([bench.events, bench.answers]).to.deep.equal([['socket opens', 'socket closes'], ['write 0: shutdown']]);
      expect([bench.proposals, bench.replica('a').told('release')]).to.deep.equal([[], []]);
      bench.replica('b').mute.clear();
      bench.pass(50);
      expect([bench.replica('a').told('release'), bench.replica('b').told('release')]).to.deep.equal([['release'], ['release']]);
      expect(bench.proposals.at(-1)?.primary).to.equal(null);
      const pings = bench.replica('a').told('ping').length;
      bench.pass(500);
      expect(bench.replica('a').told('ping').length).to.equal(pings);
      bench.lands();
      expect(bench.events.at(-1)).to.equal('released');
    });

    it('in the background stays until every member is in sync', () => {
      const bench = new PrimaryBench({
        inSync: 'a',
        learners: 'b',
        mode: 'background',
        before: (made) => made.replica('b').mute.add('flush'),
      });
      bench.pass(1_000);
      expect([bench.events, bench.proposed()]).to.deep.equal([[], []]);
      bench.replica('b').mute.clear();
      bench.pass(100);
      expect(bench.proposed()).to.deep.equal(['ab']);
      bench.lands();
      bench.pass(2_000);
      expect(bench.proposals.at(-1)?.primary).to.equal(null);
    });
  });

  describe('that is fenced', () => {
    it('answers nothing any more, and closes every session', () => {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('write').add('read');
      bench.write(0);
      bench.flush();
      bench.read(0);
      bench.lands((config) => ({
        ...config,
        epoch: 6,
        primary: { ...(config.primary as NonNullable<typeof config.primary>), node: 'node-b' },
      }));
      bench.replica('b').mute.clear();
      bench.settle();
      bench.pass(SETTINGS.ioTimeoutMs * 2);
      expect(bench.events.at(-1)).to.equal('fenced');
      expect(bench.answers).to.not.include('write 0: done');
      expect([bench.replica('a').isConnected, bench.replica('b').isConnected]).to.deep.equal([false, false]);
    });
  });
});
