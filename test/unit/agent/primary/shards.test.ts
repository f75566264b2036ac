/** A primary of a volume with several shards: what is each shard's own, and what only all of them together may do. */
import { expect } from 'chai';
import fc from 'fast-check';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT, EXTENT_BYTES, offsetInVolume } from '../../../../core/extent.ts';
import type { Operation, ToReplica } from '../../../../core/wire/messages.ts';
import { encodeBlock } from '../../../sim/layout.ts';
import { type FakeReplica, PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';

const serving = (options: ConstructorParameters<typeof PrimaryBench>[0]): PrimaryBench => {
  const bench = new PrimaryBench(options);
  bench.pass(500);
  expect(bench.events).to.deep.equal(['socket opens']);
  return bench;
};

/** The first block of an extent of the volume. */
const blockOf = (extent: number): number => extent * BLOCKS_PER_EXTENT;

/** Where its writes went, in blocks of its shard, and what was in them. */
const writesOf = (replica: FakeReplica): [number, number][] =>
  replica.heard
    .filter((message: ToReplica): message is Extract<Operation, { type: 'write' }> => message.type === 'write')
    .map(({ offsetBytes, lengthBytes }) => [offsetBytes / BLOCK_BYTES, lengthBytes / BLOCK_BYTES]);

/** What a replica that applied all that it was sent holds. */
function contentOf(replica: FakeReplica): Buffer {
  const content = Buffer.alloc(replica.sizeBytes);
  for (const message of replica.heard) {
    if (message.type === 'write') Buffer.concat(message.chunks).copy(content, message.offsetBytes);
    else if (message.type === 'zero') content.fill(0, message.offsetBytes, message.offsetBytes + message.lengthBytes);
  }
  return content;
}

const suspects = (letters: string) => (made: PrimaryBench) => {
  for (const letter of letters) Object.assign(made.replica(letter), { suspect: true, log: [0] });
};

describe('A primary of three shards', () => {
  describe('and a request', () => {
    it('within an extent goes to its shard alone, to where it lies there', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.write(blockOf(4) + 1);
      bench.settle();
      expect([...'abcdef'].map((letter) => writesOf(bench.replica(letter)))).to.deep.equal([
        [],
        [],
        [[BLOCKS_PER_EXTENT + 1, 1]],
        [[BLOCKS_PER_EXTENT + 1, 1]],
        [],
        [],
      ]);
      expect(bench.answers).to.deep.equal([`write ${blockOf(4) + 1}: done`]);
    });

    it('that writes across a border is done when both shards have it', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.replica('c').mute.add('write');
      bench.write(blockOf(1) - 2, 'write', false, 3);
      bench.settle();
      expect(bench.answers).to.deep.equal([]);
      expect([writesOf(bench.replica('a')), writesOf(bench.replica('d'))]).to.deep.equal([[[blockOf(1) - 2, 2]], [[0, 1]]]);
      const [message] = bench.replica('d').heard.filter(({ type }) => type === 'write');
      expect(message?.type === 'write' && Buffer.concat(message.chunks).equals(encodeBlock(blockOf(1)))).to.equal(true);
      bench.replica('c').mute.clear();
      bench.settle();
      expect(bench.answers).to.deep.equal(['write: done']);
    });

    it('that writes more than a round of extents has one part in each shard', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.write(blockOf(2), 'write', false, 4 * BLOCKS_PER_EXTENT);
      bench.settle();
      expect([...'ace'].map((letter) => writesOf(bench.replica(letter)))).to.deep.equal([
        [[blockOf(1), BLOCKS_PER_EXTENT]],
        [[blockOf(1), BLOCKS_PER_EXTENT]],
        [[0, 2 * BLOCKS_PER_EXTENT]],
      ]);
      expect(bench.answers).to.deep.equal(['write: done']);
    });

    it('that reads across borders gets the bytes of each in order', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.read(blockOf(1) - 1, BLOCKS_PER_EXTENT + 2);
      bench.settle();
      expect(bench.answers).to.deep.equal([`read ${blockOf(1) - 1}: from ace`]);
    });

    it('fails as a whole when a part is not done in time', () => {
      const bench = serving({ inSync: 'ab/cd/ef', minInSync: 2 });
      bench.replica('c').mute.add('write');
      bench.write(blockOf(1) - 1, 'write', false, 2);
      bench.pass(SETTINGS.ioTimeoutMs + 100);
      expect(bench.answers).to.deep.equal(['write: io']);
    });

    it('beyond the end is refused', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.write(blockOf(12) - 1, 'write', false, 2);
      expect(bench.answers).to.deep.equal(['write: invalid']);
    });
  });

  describe('and a flush', () => {
    it('asks everybody in every shard', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.replica('f').mute.add('flush');
      bench.flush();
      bench.settle();
      expect([...'abcdef'].map((letter) => bench.replica(letter).told('flush').length)).to.deep.equal([1, 1, 1, 1, 1, 1]);
      expect(bench.answers).to.deep.equal([]);
      bench.replica('f').mute.clear();
      bench.settle();
      expect(bench.answers).to.deep.equal(['flush: done']);
    });

    it('of force unit access asks the shards that were touched', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.write(blockOf(1) - 1, 'write', true, 2);
      bench.settle();
      expect([...'ace'].map((letter) => bench.replica(letter).told('flush').length)).to.deep.equal([1, 1, 0]);
      expect(bench.answers).to.deep.equal(['write: done']);
    });
  });

  describe('that loses a replica', () => {
    it('of one shard changes that shard alone, and holds every reply once its lease has run out', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      bench.replica('f').breaks();
      bench.settle();
      expect(bench.proposed()).to.deep.equal(['ab/cd/e']);
      bench.write(0);
      bench.settle();
      expect(bench.answers).to.deep.equal(['write 0: done']);
      bench.pass(SETTINGS.leaseMs);
      bench.write(1);
      bench.read(blockOf(1));
      bench.settle();
      expect(bench.answers).to.deep.equal(['write 0: done']);
      bench.lands();
      bench.settle();
      expect(bench.answers).to.have.members(['write 0: done', 'write 1: done', `read ${blockOf(1)}: from c`]);
      expect(bench.config.shards.map(({ members }) => members.map(({ leftAt }) => leftAt))).to.deep.equal([
        [undefined, undefined],
        [undefined, undefined],
        [undefined, 21],
      ]);
    });

    it('goes on with what the others want in one proposal', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      for (const letter of 'bdf') bench.replica(letter).breaks();
      bench.settle();
      expect(bench.proposed()).to.deep.equal(['a/cd/ef']);
      bench.lands();
      expect(bench.proposed().at(-1)).to.equal('a/c/e');
      bench.lands();
      bench.write(blockOf(1) - 1, 'write', false, 2);
      bench.settle();
      expect(bench.answers).to.deep.equal(['write: done']);
    });

    it('stamps what is in flight in the shard that it left, and only there', () => {
      const bench = serving({ inSync: 'ab/cd/ef' });
      for (const letter of 'bd') bench.replica(letter).mute.add('write');
      bench.write(0);
      bench.write(blockOf(1));
      bench.settle();
      bench.replica('d').breaks();
      bench.lands();
      bench.settle();
      expect(bench.replica('c').told('restamp')).to.deep.equal(['restamp 2 v21 of 0']);
      expect(bench.replica('a').told('restamp')).to.deep.equal([]);
      expect(bench.answers).to.deep.equal([`write ${blockOf(1)}: done`]);
    });
  });

  it('takes a learner into its shard, and waits for it nowhere else', () => {
    const bench = serving({ inSync: 'a/c/e', learners: '/d/', before: (made) => made.replica('d').mute.add('flush') });
    bench.replica('d').mute.add('write');
    bench.write(0);
    bench.write(blockOf(1));
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 0: done']);
    bench.replica('d').mute.clear();
    bench.pass(100);
    expect(bench.proposed()).to.deep.equal(['a/cd/e']);
  });

  describe('that is promoted', () => {
    it('does not serve while one shard is not sealed', () => {
      const bench = new PrimaryBench({
        inSync: 'ab/cd/ef',
        minInSync: 2,
        before: (made) => {
          made.replica('f').isReachable = false;
        },
      });
      bench.pass(10_000);
      expect([bench.primary.phase, bench.events, bench.proposals]).to.deep.equal(['sealing', [], []]);
      expect(bench.primary.report().reason).to.contain('node-f');
      bench.replica('f').isReachable = true;
      bench.pass(5_000);
      expect(bench.events).to.deep.equal(['socket opens']);
    });

    it('waits for one lease of before in each', () => {
      const remaining: Record<string, number> = { a: 900, b: 100, c: 700, d: 600, e: 0, f: 900 };
      const bench = new PrimaryBench({
        inSync: 'ab/cd/ef',
        before: ({ replicas }) => {
          for (const replica of replicas.values()) replica.leaseRemainingMs = remaining[replica.letter] ?? 0;
        },
      });
      bench.pass(550);
      expect([bench.primary.phase, bench.events]).to.deep.equal(['waiting', []]);
      bench.pass(100);
      expect(bench.events).to.deep.equal(['socket opens']);
    });
  });

  describe('whose replicas lost power', () => {
    it('tells it when all of one shard did', () => {
      const bench = new PrimaryBench({ inSync: 'ab/cd/ef', before: suspects('cd') });
      bench.pass(500);
      expect([bench.events, bench.proposals.map(({ lossAt }) => lossAt)]).to.deep.equal([[], [5]]);
      bench.lands();
      bench.pass(200);
      expect(bench.events).to.deep.equal(['socket opens']);
    });

    it('has told it of a shard that is found so later, as long as nobody was served', () => {
      const bench = new PrimaryBench({
        inSync: 'ab/cd/ef',
        before: (made) => {
          suspects('cdef')(made);
          for (const letter of 'ef') made.replica(letter).isReachable = false;
        },
        minInSync: 2,
      });
      bench.pass(500);
      bench.lands();
      for (const letter of 'ef') bench.replica(letter).isReachable = true;
      bench.pass(2_500);
      expect(bench.proposals.map(({ lossAt }) => lossAt)).to.deep.equal([5]);
      expect(bench.events).to.deep.equal(['socket opens']);
    });

    it('gives the whole volume up when all of one shard do under it', () => {
      const bench = serving({ inSync: 'ab/cd/ef', minInSync: 2 });
      for (const letter of 'cd') {
        bench.replica(letter).breaks();
        Object.assign(bench.replica(letter), { isReachable: true, suspect: true, log: [0] });
      }
      bench.pass(2_500);
      expect(bench.events).to.deep.equal(['socket opens', 'socket closes']);
      expect(bench.proposals.map(({ primary }) => primary)).to.deep.equal([null]);
    });
  });

  it('lays out whatever is written as a flat volume would hold it', () => {
    const sizeBytes = 7.5 * EXTENT_BYTES;
    const block = fc.nat(sizeBytes / BLOCK_BYTES - 1);
    const operation = fc.record({ from: block, to: block, isZero: fc.boolean(), fill: fc.integer({ min: 1, max: 255 }) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 12 }), (operations) => {
        const bench = serving({ inSync: 'a/c/e', sizeBytes });
        const flat = Buffer.alloc(sizeBytes);
        for (const { from, to, isZero, fill } of operations) {
          const [start, end] = [Math.min(from, to) * BLOCK_BYTES, (Math.max(from, to) + 1) * BLOCK_BYTES];
          const told = () => bench.answers.push('done');
          if (isZero) bench.client.zero(start, end - start, { free: true, forceUnitAccess: false }, told);
          else bench.client.write(start, [Buffer.alloc(end - start, fill)], end - start, false, told);
          flat.fill(isZero ? 0 : fill, start, end);
        }
        bench.settle();
        const shards = [...'ace'].map((letter) => contentOf(bench.replica(letter)));
        const held = Buffer.alloc(sizeBytes);
        shards.forEach((content, shard) => {
          for (let at = 0; at < content.length; at += BLOCK_BYTES) content.copy(held, offsetInVolume(at, 3, shard), at, at + BLOCK_BYTES);
        });
        expect(bench.answers.length).to.equal(operations.length);
        expect(held.equals(flat)).to.equal(true);
      }),
      { numRuns: 30 },
    );
  });

  it('lets go when all shards are settled', () => {
    const bench = serving({ inSync: 'ab/cd/ef' });
    bench.replica('f').mute.add('write');
    bench.write(blockOf(2));
    bench.primary.letGo();
    bench.settle();
    expect(bench.proposals).to.deep.equal([]);
    bench.replica('f').mute.clear();
    bench.settle();
    expect(bench.proposals.map(({ primary }) => primary)).to.deep.equal([null]);
    expect([...'abcdef'].map((letter) => bench.replica(letter).told('release').length)).to.deep.equal([1, 1, 1, 1, 1, 1]);
  });

  it('ends when a config has another number of shards', () => {
    const bench = serving({ inSync: 'ab/cd/ef' });
    bench.lands((config) => ({ ...config, shards: config.shards.slice(0, 2) }));
    expect(bench.events.at(-1)).to.equal('lost');
  });

  it('reports the replicas of all', () => {
    const bench = serving({ inSync: 'ab/cd/ef' });
    expect(
      bench.primary
        .report()
        .replicas.map(({ replica }) => replica.slice(-1))
        .join(''),
    ).to.equal('abcdef');
  });
});
