/** What a primary finds by comparing its replicas, and what it does about it. */
import { expect } from 'chai';
import { REST_MS_MAX } from '../../../../agent/primary/heartbeats.ts';
import { SCRUB_PAUSE_MS, SCRUB_RUN_EXTENTS } from '../../../../agent/primary/scrubber.ts';
import { judge } from '../../../../agent/primary/verdict.ts';
import { BLOCKS_PER_EXTENT, EXTENT_BYTES } from '../../../../core/extent.ts';
import type { ScrubState } from '../../../../core/scrub.ts';
import type { Settings } from '../../../../core/settings.ts';
import { FakeContent } from '../../../support/fakeContent.ts';
import { idOf, PrimaryBench } from '../../../support/primaryBench.ts';

const WEEK_SECONDS = 7 * 86_400;
const EXTENTS = 12;

type Options = {
  inSync?: string;
  learners?: string;
  settings?: Partial<Settings>;
  scrub?: ScrubState;
  before?: (made: PrimaryBench) => void;
};

/** Every replica holds the same: a block in each extent. */
function volume(options: Options = {}): PrimaryBench {
  return new PrimaryBench({
    inSync: options.inSync ?? 'abc',
    learners: options.learners ?? '',
    sizeBytes: EXTENTS * EXTENT_BYTES,
    settings: { scrubIntervalSeconds: WEEK_SECONDS, ...options.settings },
    ...(options.scrub ? { scrub: options.scrub } : {}),
    before: (made) => {
      for (const replica of made.replicas.values()) {
        replica.content = new FakeContent();
        for (let extent = 0; extent < EXTENTS; extent++) replica.content.set(extent * BLOCKS_PER_EXTENT + extent, extent + 1);
      }
      options.before?.(made);
    },
  });
}

const rot = (bench: PrimaryBench, letter: string, block: number, value = 99) => bench.replica(letter).content?.set(block, value);
const values = (bench: PrimaryBench, block: number) => [...bench.replicas.values()].map(({ content }) => content?.value(block));
const summaries = (bench: PrimaryBench, letter: string): number[] =>
  bench.replica(letter).heard.flatMap((message) => (message.type === 'summary' ? [message.extent] : []));
const ended = (bench: PrimaryBench): ScrubState => {
  for (let rounds = 0; rounds < 20 && (bench.primary.scrub?.endedAtMs ?? null) === null; rounds++) bench.pass(500);
  expect(bench.primary.scrub?.endedAtMs, 'it comes to its end').to.be.a('number');
  return bench.primary.scrub ?? expect.fail();
};

describe('A scrub', () => {
  it('of equal replicas asks each for summaries only, once around', () => {
    const bench = volume();
    expect(ended(bench)).to.deep.include({ position: { shard: 1, extent: 0 }, repairedBlocks: 0, unresolvedBlocks: 0 });
    for (const letter of ['a', 'b', 'c']) {
      expect(summaries(bench, letter)).to.deep.equal([0, SCRUB_RUN_EXTENTS, 2 * SCRUB_RUN_EXTENTS]);
      expect(bench.replica(letter).told('digest', 'read', 'level')).to.deep.equal([]);
    }
  });

  it('repairs a block that rotted on one of three from the others, and has it stamped', () => {
    const bench = volume({ before: (made) => rot(made, 'a', 5 * BLOCKS_PER_EXTENT + 5) });
    expect(ended(bench)).to.deep.include({ repairedBlocks: 1, unresolvedBlocks: 0 });
    expect(values(bench, 5 * BLOCKS_PER_EXTENT + 5)).to.deep.equal([6, 6, 6]);
    expect(bench.replica('a').told('level')).to.deep.equal(['level 5 of 5+1']);
    expect([...bench.replica('b').told('level'), ...bench.replica('c').told('level')]).to.deep.equal([]);
    for (const letter of ['a', 'b', 'c']) expect(bench.replica(letter).told('restamp')).to.deep.equal(['restamp 1 v20 of 5']);
  });

  it('makes zeroes of what should be zeroes, and brings back what was lost', () => {
    const bench = volume({
      before: (made) => {
        rot(made, 'b', 7);
        rot(made, 'c', 0, 0);
      },
    });
    expect(ended(bench)).to.deep.include({ repairedBlocks: 2 });
    expect([values(bench, 7), values(bench, 0)]).to.deep.equal([
      [0, 0, 0],
      [1, 1, 1],
    ]);
  });

  it('tells what differs on two, and does not guess', () => {
    const bench = volume({ inSync: 'ab', before: (made) => rot(made, 'b', 9 * BLOCKS_PER_EXTENT) });
    expect(ended(bench)).to.deep.include({ repairedBlocks: 0, unresolvedBlocks: 1, unresolvedExtents: [{ shard: 0, extent: 9 }] });
    expect(values(bench, 9 * BLOCKS_PER_EXTENT)).to.deep.equal([0, 99]);
    expect([...bench.replica('a').told('level', 'read'), ...bench.replica('b').told('level', 'read')]).to.deep.equal([]);
  });

  it('repairs what it can of an extent where something else is beyond it', () => {
    const bench = volume({
      before: (made) => {
        rot(made, 'a', 3, 97);
        rot(made, 'b', 3, 98);
        rot(made, 'b', 4, 98);
      },
    });
    expect(ended(bench)).to.deep.include({ repairedBlocks: 1, unresolvedBlocks: 1 });
    expect([values(bench, 3), values(bench, 4)]).to.deep.equal([
      [97, 98, 0],
      [0, 0, 0],
    ]);
  });

  it('takes a write that one has and another has not yet for no difference', () => {
    const bench = volume({
      before: (made) => {
        for (const replica of made.replicas.values()) replica.mute.add('summary');
        made.replica('b').mute.add('write');
      },
    });
    bench.pass(500);
    expect(bench.events).to.deep.equal(['socket opens']);
    bench.write(1);
    bench.settle();
    for (const replica of bench.replicas.values()) replica.mute.delete('summary');
    bench.settle();
    // What it tells of itself is from before the write, which the others have.
    expect(bench.replica('b').told('digest')).to.deep.equal(['digest 0']);
    expect(bench.answers).to.deep.equal([]);
    bench.write(2);
    bench.replica('b').mute.clear();
    expect(ended(bench)).to.deep.include({ repairedBlocks: 0, unresolvedBlocks: 0 });
    expect(bench.answers).to.deep.equal(['write 1: done', 'write 2: done']);
    expect(bench.replica('b').told('level')).to.deep.equal([]);
  });

  it('lets nobody read what it repairs until it is stamped', () => {
    const bench = volume({ before: (made) => rot(made, 'a', 5) });
    bench.replica('a').mute.add('level');
    bench.pass(500);
    expect(bench.replica('a').told('level')).to.deep.equal(['level 0 of 5+1']);
    bench.client.read(5 * 4096, 4096, (_error, chunks) => bench.answers.push(`read ${chunks[0]?.[0]}`));
    bench.settle();
    expect(bench.answers).to.deep.equal([]);
    bench.replica('a').mute.clear();
    bench.pass(100);
    expect(bench.answers).to.deep.equal(['read 0']);
  });

  it('breaks off when a replica is lost, and looks at the same again', () => {
    const bench = volume({ before: (made) => rot(made, 'a', 5) });
    bench.replica('c').mute.add('digest');
    bench.pass(500);
    bench.replica('c').breaks();
    bench.pass(100);
    expect(bench.proposed()).to.deep.equal(['ab']);
    expect(bench.primary.scrub?.position).to.deep.equal({ shard: 0, extent: 0 });
    Object.assign(bench.replica('c'), { isReachable: true });
    bench.replica('c').mute.clear();
    bench.lands();
    bench.pass(3_000);
    bench.lands();
    expect(bench.config.shards[0]?.inSync).to.include(idOf('c'));
    expect(ended(bench)).to.deep.include({ repairedBlocks: 1 });
  });

  it('stands still while a learner catches up', () => {
    const bench = volume({ learners: 'd', before: (made) => made.replica('d').mute.add('flush') });
    bench.pass(3 * SCRUB_PAUSE_MS);
    expect(summaries(bench, 'a')).to.deep.equal([]);
  });

  it('goes on where the primary before was', () => {
    const before = { position: { shard: 0, extent: 8 }, startedAtMs: 5, endedAtMs: null, repairedBlocks: 3, unresolvedBlocks: 0 };
    const bench = volume({ scrub: before });
    expect(ended(bench)).to.deep.include({ startedAtMs: 5, repairedBlocks: 3 });
    expect(summaries(bench, 'b')).to.deep.equal([8]);
  });

  it('begins anew when the last one is long ago, and not before', () => {
    const scrub = { position: { shard: 1, extent: 0 }, startedAtMs: 500, endedAtMs: 900, repairedBlocks: 3, unresolvedBlocks: 1 };
    const bench = volume({ scrub, settings: { scrubIntervalSeconds: 4 } });
    bench.pass(3_000);
    expect([bench.primary.scrub, summaries(bench, 'a')]).to.deep.equal([scrub, []]);
    bench.pass(1_000 + REST_MS_MAX);
    expect(ended(bench)).to.deep.include({ repairedBlocks: 0, unresolvedBlocks: 0 });
    expect(summaries(bench, 'a').slice(0, 3)).to.deep.equal([0, 4, 8]);
  });

  it('is never begun when the settings say so', () => {
    const bench = volume({ settings: { scrubIntervalSeconds: 0 } });
    bench.pass(5_000);
    expect([bench.primary.scrub, summaries(bench, 'a')]).to.deep.equal([null, []]);
  });

  it('reads no more than it may, and what is empty is no reading', () => {
    const perSecond = SCRUB_RUN_EXTENTS * EXTENT_BYTES;
    const bench = volume({ settings: { scrubBytesPerSecond: perSecond } });
    bench.pass(700);
    expect(summaries(bench, 'a').length).to.equal(1);
    const empty = volume({
      settings: { scrubBytesPerSecond: perSecond },
      before: (made) => {
        for (const replica of made.replicas.values()) replica.content = new FakeContent();
      },
    });
    empty.pass(700);
    expect(summaries(empty, 'a').length).to.equal(3);
  });

  it('goes through one shard after the other', () => {
    const bench = new PrimaryBench({
      inSync: 'abc/def',
      settings: { scrubIntervalSeconds: WEEK_SECONDS },
      before: (made) => {
        for (const replica of made.replicas.values()) replica.content = new FakeContent();
        rot(made, 'e', 300);
      },
    });
    expect(ended(bench)).to.deep.include({ position: { shard: 2, extent: 0 }, repairedBlocks: 1 });
    expect(bench.replica('e').told('level')).to.deep.equal(['level 1 of 44+1']);
  });
});

describe('A verdict', () => {
  const digests = (...blocks: number[]) => Buffer.concat(blocks.map((value) => Buffer.alloc(16, value)));

  for (const { what, each, repairs, unresolved } of [
    { what: 'all alike', each: [digests(1, 2), digests(1, 2)], repairs: [], unresolved: [] },
    { what: 'nothing there and zeroes', each: [null, digests(0, 0), null], repairs: [], unresolved: [] },
    { what: 'one of two', each: [digests(1, 1), digests(1, 2)], repairs: [], unresolved: [1] },
    { what: 'two of four', each: [1, 1, 2, 2].map((value) => digests(value, 5)), repairs: [], unresolved: [0] },
    {
      what: 'three of five, two of which differ from each other',
      each: [2, 1, 1, 3, 1].map((value) => digests(5, value)),
      repairs: [{ block: 1, good: 1, bad: [0, 3], isZero: false }],
      unresolved: [],
    },
    {
      what: 'a majority of zeroes',
      each: [null, digests(0, 7), digests(0, 0)],
      repairs: [{ block: 1, good: 0, bad: [1], isZero: true }],
      unresolved: [],
    },
  ]) {
    it(`of ${what}`, () => {
      expect(judge(each, 2)).to.deep.equal({ repairs, unresolved });
    });
  }
});
