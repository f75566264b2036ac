/**
 * When the memory of a client's write may be used again: when nobody can be reading or sending it any more, in any session in which it ever was sent. What a
 * frame's checksum shows on the way, nothing shows in what is still in flight here and is sent again: there only this rule stands between.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import type { BlockClient } from '../../../../agent/ports.ts';
import { Knowledge } from '../../../../agent/primary/knowledge.ts';
import type { Peer } from '../../../../agent/primary/peer.ts';
import { Replication } from '../../../../agent/primary/replication.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT, EXTENT_BYTES } from '../../../../core/extent.ts';
import { volumeUid } from '../../../../core/ids.ts';
import type { Operation } from '../../../../core/wire/messages.ts';
import { idOf, PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';
import { instance } from '../../../support/replicaBench.ts';

const LETTERS = ['a', 'b', 'c'] as const;
const SEQUENCE = 7;

const CONFIG: VolumeConfig = {
  uid: volumeUid('volume-1'),
  name: 'volume',
  sizeBytes: 4 * EXTENT_BYTES,
  minInSync: 1,
  epoch: 5,
  version: 20,
  primary: { node: 'node-a', instance: instance(1), mode: 'serve' },
  shards: [
    {
      members: LETTERS.map((letter) => ({ replica: idOf(letter), node: `node-${letter}`, pool: 'pool' })),
      inSync: [idOf('a'), idOf('b')],
    },
  ],
};
const WRITE: Operation = {
  type: 'write',
  sequence: SEQUENCE,
  settled: SEQUENCE - 1,
  version: CONFIG.version,
  offsetBytes: 0,
  lengthBytes: BLOCK_BYTES,
  chunks: [Buffer.alloc(BLOCK_BYTES, 1)],
};

/** A session that begins when operations up to `last` were sent. */
function seal(peer: Peer, last: number): void {
  peer.connecting({ send: () => undefined, bufferedBytes: 0, close: () => undefined }, 0);
  peer.sealedAt(false, last, last);
}

/** Two in sync and a learner: all of them were sent a write, and have applied it. */
class Scene {
  readonly knowledge = new Knowledge(CONFIG);
  readonly replication = new Replication({
    knowledge: this.knowledge,
    shardIndex: 0,
    clock: { monotonicMs: () => 0, wallMs: () => 0 },
    localNode: 'node-a',
    dropSession: () => undefined,
  });

  constructor(behind = '') {
    for (const letter of LETTERS) {
      const peer = this.peer(letter);
      seal(peer, SEQUENCE - 1);
      peer.opened();
      peer.owes(SEQUENCE, 0);
      peer.hasApplied(letter === behind ? SEQUENCE - 1 : SEQUENCE, SEQUENCE, 0);
    }
  }

  peer(letter: string): Peer {
    const peer = this.replication.peers.get(idOf(letter));
    if (!peer) throw new Error(`no peer ${letter}`);
    return peer;
  }

  isFree(operation: Operation = WRITE): boolean {
    return this.replication.isFree(operation);
  }
}

/** What keeps it, by itself: all the rest is as it must be. */
const KEPT: Record<string, (scene: Scene, peer: Peer) => void> = {
  'is down, though it had applied it': (_scene, peer) => peer.down(0),
  'is being called again': (_scene, peer) => {
    peer.down(0);
    peer.connecting({ send: () => undefined, bufferedBytes: 0, close: () => undefined }, 0);
  },
  'grows before it takes part': (_scene, peer) => {
    peer.down(0);
    seal(peer, SEQUENCE - 1);
    peer.growing();
  },
  'came back, and the session before may still be sending it': (_scene, peer) => {
    peer.down(0);
    seal(peer, SEQUENCE);
    peer.opened();
    peer.hasApplied(SEQUENCE, SEQUENCE, 0);
  },
};

describe('The memory of a write', () => {
  it('is free when everybody has applied it, a learner that is only loading too', () => {
    const scene = new Scene();
    expect(scene.isFree()).to.equal(true);
    seal(scene.peer('c'), SEQUENCE - 1);
    scene.peer('c').hasApplied(SEQUENCE, SEQUENCE, 0);
    expect([scene.peer('c').state, scene.isFree()]).to.deep.equal(['loading', true]);
  });

  it('is free when one was away all the while, or came back behind it', () => {
    const scene = new Scene();
    scene.peer('b').down(0);
    for (const letter of ['a', 'c']) {
      scene.peer(letter).owes(SEQUENCE + 1, 0);
      scene.peer(letter).hasApplied(SEQUENCE + 1, SEQUENCE + 1, 0);
    }
    const next = { ...WRITE, sequence: SEQUENCE + 1 };
    expect([scene.isFree(), scene.isFree(next)]).to.deep.equal([false, true]);
    seal(scene.peer('b'), SEQUENCE + 1);
    expect([scene.isFree(), scene.isFree(next)]).to.deep.equal([false, true]);
  });

  it('is free again for what is sent behind the return of one', () => {
    const scene = new Scene();
    scene.peer('b').down(0);
    seal(scene.peer('b'), SEQUENCE);
    for (const letter of LETTERS) scene.peer(letter).hasApplied(SEQUENCE + 1, SEQUENCE + 1, 0);
    expect([scene.isFree(), scene.isFree({ ...WRITE, sequence: SEQUENCE + 1 })]).to.deep.equal([false, true]);
  });

  it('is not there in an operation without data', () => {
    expect(new Scene().isFree({ ...WRITE, type: 'zero', free: false })).to.equal(false);
  });

  it('is kept under another config: who was a member may still be sent it', () => {
    const scene = new Scene();
    scene.knowledge.adopt({ ...CONFIG, version: CONFIG.version + 1 });
    expect(scene.isFree()).to.equal(false);
  });

  for (const letter of LETTERS) {
    it(`is kept when only ${letter} has not applied it`, () => {
      expect(new Scene(letter).isFree()).to.equal(false);
    });

    for (const [why, change] of Object.entries(KEPT)) {
      it(`is kept when only ${letter} ${why}`, () => {
        const scene = new Scene();
        change(scene, scene.peer(letter));
        expect(scene.isFree()).to.equal(false);
      });
    }
  }
});

/** A client that gives back what it may, and looks whether anybody still has it. */
class Writer {
  readonly bench: PrimaryBench;
  readonly told: string[] = [];
  #client: BlockClient;

  constructor(bench: PrimaryBench) {
    this.bench = bench;
    this.#client = bench.client;
    bench.pass(500);
    expect(bench.events).to.deep.equal(['socket opens']);
  }

  write(block = 0, blocks = 1, forceUnitAccess = false): void {
    const chunks = Array.from({ length: blocks }, () => Buffer.alloc(BLOCK_BYTES, 1));
    this.#client.write(block * BLOCK_BYTES, chunks, blocks * BLOCK_BYTES, forceUnitAccess, (error, isFree) => {
      this.told.push(error?.code ?? (isFree ? 'free' : 'kept'));
      if (isFree) expect(this.#readers(chunks), 'given back while it is sent to').to.deep.equal([]);
    });
  }

  /** It goes, and another one comes. */
  leave(): void {
    this.#client.close();
    this.#client = this.bench.primary.device.connect();
  }

  #readers(chunks: readonly Buffer[]): string[] {
    const has = (message: object): boolean => 'chunks' in message && message.chunks === chunks;
    return [...this.bench.replicas.values()].filter(({ unread }) => [...unread].some(has)).map(({ letter }) => letter);
  }
}

const WITH_LEARNER = { inSync: 'ab', learners: 'c' };
const learning = (): Writer => {
  const writer = new Writer(new PrimaryBench({ ...WITH_LEARNER, before: (bench) => bench.replica('c').mute.add('changed') }));
  expect(writer.bench.proposed()).to.deep.equal([]);
  return writer;
};

describe('A client’s block', () => {
  it('is given back when all have it, with FUA when that is flushed', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'ab' }));
    writer.bench.replica('b').mute.add('flush');
    writer.write();
    writer.write(1, 1, true);
    writer.bench.settle();
    expect(writer.told).to.deep.equal(['free']);
    writer.bench.replica('b').mute.clear();
    writer.bench.settle();
    expect(writer.told).to.deep.equal(['free', 'free']);
  });

  it('is kept when a learner that does not count has not taken it, and given back when it has', () => {
    const writer = learning();
    writer.write();
    writer.bench.replica('c').answer();
    writer.bench.settle();
    writer.bench.replica('c').mute.add('write');
    writer.write();
    writer.bench.settle();
    expect(writer.told).to.deep.equal(['free', 'kept']);
  });

  it('is kept when one that counts broke off and was sent it again', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'ab', minInSync: 2 }));
    const { bench } = writer;
    bench.replica('b').mute.add('write');
    writer.write();
    bench.replica('b').breaks();
    bench.replica('b').mute.clear();
    bench.replica('b').isReachable = true;
    bench.pass(3_000);
    expect(bench.replica('b').told('write')).to.deep.equal(['write 1 v20', 'write 1 v20']);
    writer.write();
    bench.settle();
    expect(writer.told).to.deep.equal(['kept', 'free']);
  });

  it('is kept when one that counts took it and broke off before the others did', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'ab', minInSync: 2 }));
    const { bench } = writer;
    bench.replica('a').mute.add('write');
    writer.write();
    bench.replica('b').answer();
    bench.replica('b').breaks();
    bench.replica('a').mute.clear();
    bench.settle();
    expect(writer.told).to.deep.equal(['kept']);
  });

  it('is kept when the config is another by then', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'ab' }));
    writer.write();
    writer.bench.lands((config) => config);
    writer.bench.settle();
    expect(writer.told).to.deep.equal(['kept']);
  });

  it('is kept when its client was told that it took too long, or has gone', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'ab', minInSync: 2, settings: { replicaTimeoutMs: 60_000 } }));
    const { bench } = writer;
    bench.replica('b').mute.add('write');
    writer.write();
    bench.pass(SETTINGS.ioTimeoutMs + 200);
    writer.write(1);
    writer.leave();
    bench.replica('b').mute.clear();
    bench.pass(100);
    expect(writer.told).to.deep.equal(['io']);
  });

  it('is given back while one is away', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'ab' }));
    writer.bench.replica('b').breaks();
    writer.bench.pass(500);
    writer.bench.lands();
    writer.bench.settle();
    writer.write();
    writer.bench.settle();
    expect(writer.told).to.deep.equal(['free']);
  });

  it('is kept when it went to several shards', () => {
    const writer = new Writer(new PrimaryBench({ inSync: 'a/b' }));
    writer.write(BLOCKS_PER_EXTENT - 1, 2);
    writer.bench.settle();
    expect(writer.told).to.deep.equal(['kept']);
  });
});

const letter = fc.constantFrom(...LETTERS);
const STEP = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('write' as const), block: fc.nat(15), fua: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ what: fc.constantFrom('answer' as const, 'stall' as const, 'stayLearner' as const, 'goOn' as const), letter }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constantFrom('break' as const, 'return' as const), letter }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('pass' as const), milliseconds: fc.integer({ min: 50, max: 1_500 }) }) },
  fc.record({ what: fc.constantFrom('land' as const, 'another config' as const, 'leave' as const) }),
);
type Step = typeof STEP extends fc.Arbitrary<infer Each> ? Each : never;

/** Whatever is proposed stands; or the learner is a member no more, or one again, or only the version is another. */
function changeConfig(bench: PrimaryBench, what: 'land' | 'another config'): void {
  const isOut = (bench.proposals.at(-1)?.version ?? 0) > bench.config.version;
  if (what === 'land') return isOut ? bench.lands() : undefined;
  bench.lands((config) => {
    const [shard] = config.shards;
    if (!shard || shard.inSync.includes(idOf('c'))) return config;
    const others = shard.members.filter(({ replica }) => replica !== idOf('c'));
    const isMember = others.length < shard.members.length;
    return {
      ...config,
      shards: [{ ...shard, members: isMember ? others : [...others, { replica: idOf('c'), node: 'node-c', pool: 'pool' }] }],
    };
  });
}

function take(writer: Writer, step: Step): void {
  const { bench } = writer;
  switch (step.what) {
    case 'write':
      return writer.write(step.block, 1, step.fua);
    case 'pass':
      return bench.pass(step.milliseconds);
    case 'leave':
      return writer.leave();
    case 'land':
    case 'another config':
      return changeConfig(bench, step.what);
    case 'answer':
      return void bench.replica(step.letter).answer();
    case 'stall':
      return void bench.replica(step.letter).mute.add('write');
    case 'stayLearner':
      return void bench.replica(step.letter).mute.add('changed');
    case 'goOn':
      return bench.replica(step.letter).mute.clear();
    case 'break':
      return bench.replica(step.letter).breaks();
    case 'return':
      bench.replica(step.letter).isReachable = true;
  }
}

function heal({ bench }: Writer): void {
  for (const replica of bench.replicas.values()) Object.assign(replica, { isReachable: true }).mute.clear();
  for (let round = 0; round < 10; round++) {
    bench.pass(500);
    changeConfig(bench, 'land');
  }
}

describe('Clients’ blocks, whatever happens', () => {
  it('are given back when nobody has them, and then again', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(STEP, { maxLength: 60 }), (isLearning, steps) => {
        const writer = isLearning ? learning() : new Writer(new PrimaryBench(WITH_LEARNER));
        for (const step of steps) take(writer, step);
        heal(writer);
        writer.write();
        writer.bench.settle();
        expect(writer.told.at(-1)).to.equal('free');
      }),
      { numRuns: 150 },
    );
  });
});
