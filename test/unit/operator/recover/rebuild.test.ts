/** What a lost store may be rebuilt of, and what not: rows, and lives as chance has them, after which no acknowledged write may be missing. */
import { expect } from 'chai';
import { type VolumeConfig, withInSync } from '../../../../core/config.ts';
import { type FoundReplica, NUMBERS_SKIPPED, rebuildVolume, type VolumeEvidence } from '../../../../operator/recover/rebuild.ts';
import { config, member, nodeOf, replica, UID } from '../../../support/operator/builders.ts';
import { SeededRandom } from '../../../support/seededRandom.ts';

const found = (letter: string, seen: VolumeConfig | null, change: Partial<FoundReplica> = {}): FoundReplica => {
  const { node, pool } = member(letter);
  const numbers = { promisedEpoch: seen?.epoch ?? 0, knownVersion: seen?.version ?? 0 };
  return { node, pool, replica: replica(letter), volume: UID, problem: null, ...numbers, config: seen, ...change };
};
const evidence = (replicas: readonly FoundReplica[], change: Partial<VolumeEvidence> = {}): VolumeEvidence => ({
  ...{ uid: UID, name: 'pgdata', found: replicas, stored: null, acceptsLoss: false },
  hasTold: (node) => replicas.some((each) => each.node === node),
  ...change,
});
const rebuilt = (of: VolumeEvidence): VolumeConfig => {
  const verdict = rebuildVolume(of);
  if (verdict.kind !== 'rebuilt') throw new Error(JSON.stringify(verdict));
  return verdict.config;
};
const reasons = (of: VolumeEvidence): string => {
  const verdict = rebuildVolume(of);
  return verdict.kind === 'refused' ? verdict.reasons.join('; ') : verdict.kind;
};

const WHOLE = config({ epoch: 4, version: 20 });
const DEGRADED = withInSync(WHOLE, 0, [replica('a'), replica('b')]);

describe('operator: rebuilding a volume of what its replicas know', () => {
  it('takes the latest config that anybody has seen, above every number, with no primary', () => {
    const after = rebuilt(evidence([found('a', DEGRADED, { promisedEpoch: 6 }), found('b', WHOLE), found('c', WHOLE)]));
    expect(after.shards).to.deep.equal(DEGRADED.shards);
    expect([after.primary, after.epoch, after.version]).to.deep.equal([null, 6 + NUMBERS_SKIPPED, 21 + NUMBERS_SKIPPED]);
    expect(after.lossAt).to.equal(undefined);
  });

  it('needs no replica that is out of sync', () => {
    expect(rebuilt(evidence([found('a', DEGRADED), found('b', DEGRADED)])).shards).to.deep.equal(DEGRADED.shards);
  });

  it('does not wait for a replica that was to be made and is not', () => {
    const growing = config({ epoch: 4, version: 20 }, 'abc', 'ab');
    const after = rebuilt(evidence([found('a', growing), found('b', growing)], { hasTold: () => true }));
    expect(after.shards[0]?.members.map((each) => each.replica)).to.deep.equal([replica('a'), replica('b')]);
  });

  it('leaves what etcd holds, where nobody knows better; raises it, where somebody has promised more', () => {
    const all = [found('a', WHOLE), found('b', WHOLE), found('c', WHOLE)];
    expect(rebuildVolume(evidence(all, { stored: WHOLE })).kind).to.equal('sound');
    const promised = [found('a', WHOLE, { promisedEpoch: 9 }), found('b', WHOLE), found('c', WHOLE)];
    expect(rebuilt(evidence(promised, { stored: WHOLE })).epoch).to.equal(9 + NUMBERS_SKIPPED);
    const backup = config({ epoch: 2, version: 11 });
    expect(rebuilt(evidence(all, { stored: backup })).shards).to.deep.equal(WHOLE.shards);
  });

  const rows: [string, VolumeEvidence, string][] = [
    ['a replica in sync is on a node that is away', evidence([found('a', WHOLE), found('b', WHOLE)]), 'node-c has not told what it holds'],
    [
      'a replica in sync is on none of its node’s pools',
      evidence([found('a', WHOLE), found('b', WHOLE)], { hasTold: () => true }),
      'node-c has not got replica',
    ],
    [
      'a replica in sync lies elsewhere than the config says',
      evidence([found('a', WHOLE), found('b', WHOLE), found('c', WHOLE, { pool: 'other' })]),
      'is on node-c/other',
    ],
    [
      'a replica in sync cannot be read',
      evidence([found('a', WHOLE), found('b', WHOLE), found('c', null, { problem: 'meta: bad checksum' })]),
      'cannot be read: meta: bad checksum',
    ],
    [
      'somebody knows that there is a later config',
      evidence([found('a', WHOLE), found('b', WHOLE, { knownVersion: 22 }), found('c', WHOLE)]),
      'knows that version 22 of the config may be there',
    ],
    ['nothing was ever in sync', evidence([found('a', config({ epoch: 0, version: 1 }, 'abc', ''))]), 'nothing of it was ever in sync'],
    [
      'no Volume asks for it',
      evidence([found('a', WHOLE), found('b', WHOLE), found('c', WHOLE)], { name: null }),
      'no Volume has this uid',
    ],
    ['nobody has seen a config', evidence([found('a', null)]), 'no replica of it has seen a config'],
    [
      'all have failed',
      evidence(['a', 'b', 'c'].map((letter) => found(letter, WHOLE, { problem: 'EIO' }))),
      'every replica in sync has failed',
    ],
  ];
  for (const [what, of, reason] of rows) it(`refuses where ${what}`, () => expect(reasons(of)).to.contain(reason));

  it('goes on, where a person accepts the loss, from who knows most, and tells it to clients', () => {
    const of = evidence([found('a', WHOLE), found('b', WHOLE, { knownVersion: 22 })], { acceptsLoss: true });
    const after = rebuilt(of);
    expect(after.shards[0]?.inSync).to.deep.equal([replica('b')]);
    expect(after.shards[0]?.members.map(({ leftAt }) => leftAt)).to.deep.equal([undefined, undefined, undefined]);
    expect(after.lossAt).to.equal(after.epoch);
    expect(rebuildVolume({ ...of, acceptsLoss: false })).to.deep.include({ kind: 'refused' });
  });

  /** Who knows and holds what, by the rules that primaries, replicas and agents keep (agent/primary/joining.ts, agent/replica/session.ts). */
  class Life {
    readonly random: SeededRandom;
    config = config({ epoch: 1, version: 1 }, 'abcd', 'ab');
    readonly acknowledged = new Set<number>();
    readonly content = new Map([...'abcd'].map((letter) => [letter, new Set<number>()]));
    readonly seen = new Map<string, VolumeConfig>();
    readonly known = new Map<string, number>();
    #writes = 0;

    constructor(seed: number) {
      this.random = new SeededRandom(seed);
      for (const letter of 'ab') this.observes(letter);
    }

    get inSync(): string[] {
      return [...'abcd'].filter((letter) => this.config.shards[0]?.inSync.includes(replica(letter)));
    }

    one(letters: readonly string[]): string {
      return letters[Math.floor(this.random.unit() * letters.length)] ?? 'a';
    }

    observes(letter: string): void {
      this.seen.set(letter, this.config);
      this.notes(letter, this.config.version);
    }

    notes(letter: string, version: number): void {
      this.known.set(letter, Math.max(this.known.get(letter) ?? 0, version));
    }

    write(): void {
      const number = this.#writes++;
      for (const letter of this.inSync) {
        this.notes(letter, this.config.version);
        this.content.get(letter)?.add(number);
      }
      this.acknowledged.add(number);
    }

    /** Not acknowledged: it reached some only. */
    tearWrite(): void {
      const letter = this.one(this.inSync);
      this.notes(letter, this.config.version);
      this.content.get(letter)?.add(this.#writes++);
    }

    become(letters: readonly string[]): void {
      this.config = withInSync(this.config, 0, letters.map(replica));
    }

    drop(): void {
      const { inSync } = this;
      const goes = this.one(inSync);
      if (inSync.length > 1) this.become(inSync.filter((letter) => letter !== goes));
    }

    /** Of those in sync whoever is there notes it; one at least, from which it is copied, is. */
    join(): void {
      const { inSync } = this;
      const outside = [...'abcd'].filter((letter) => !inSync.includes(letter));
      if (outside.length === 0) return;
      const [joiner, source] = [this.one(outside), this.one(inSync)];
      this.seen.set(joiner, this.config);
      for (const letter of [...inSync.filter(() => this.random.unit() < 0.5), source, joiner]) this.notes(letter, this.config.version + 1);
      this.content.set(joiner, new Set(this.content.get(source)));
      this.become([...inSync, joiner]);
    }

    promote(): void {
      this.config = { ...this.config, epoch: this.config.epoch + 1, version: this.config.version + 1 };
      const { inSync } = this;
      const stays = this.one(inSync);
      const sealed = inSync.filter((letter) => letter === stays || this.random.unit() < 0.7);
      for (const letter of sealed) this.observes(letter);
      if (sealed.length < inSync.length) this.become(sealed);
    }

    step(): void {
      const acts = [() => this.write(), () => this.tearWrite(), () => this.drop(), () => this.join(), () => this.promote()];
      acts.push(() => this.observes(this.one([...'abcd'])));
      acts[Math.floor(this.random.unit() * acts.length)]?.();
    }

    /** Of those who are there, whoever has seen a config tells it. */
    evidence(): VolumeEvidence {
      const there = [...'abcd'].filter(() => this.random.unit() < 0.6);
      const told = there.flatMap((letter) => {
        const seen = this.seen.get(letter);
        return seen ? [found(letter, seen, { knownVersion: this.known.get(letter) ?? 0 })] : [];
      });
      return evidence(told, { hasTold: (node) => there.some((letter) => nodeOf(letter) === node) });
    }
  }

  it('never calls in sync what misses an acknowledged write, whoever is there and whatever happened before', () => {
    let count = 0;
    for (let seed = 1; seed <= 20_000; seed++) {
      const life = new Life(seed);
      for (let step = Math.floor(life.random.unit() * 14); step >= 0; step--) life.step();
      const verdict = rebuildVolume(life.evidence());
      if (verdict.kind !== 'rebuilt') continue;
      count++;
      for (const letter of 'abcd') {
        if (!verdict.config.shards[0]?.inSync.includes(replica(letter))) continue;
        const missing = [...life.acknowledged].filter((number) => !life.content.get(letter)?.has(number));
        expect(missing, `seed ${seed}: missing on ${letter}`).to.deep.equal([]);
      }
      expect(verdict.config.version, `seed ${seed}`).to.be.above(life.config.version);
      expect(verdict.config.epoch, `seed ${seed}`).to.be.above(life.config.epoch);
    }
    expect(count).to.be.above(2_000);
  });
});
