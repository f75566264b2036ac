/**
 * The whole control loop in memory, as chance has it: volumes come and go, agents die and start again, replicas fail, leaders change, answers are lost.
 * Throughout: what must never happen does not. Then nothing goes wrong any more, and all of it must become well. `SEED=7` runs one seed alone.
 */
import { expect } from 'chai';
import type { Shard, VolumeConfig } from '../../../core/config.ts';
import type { RecordedSnapshot } from '../../../core/snapshot.ts';
import { MOVE_ANNOTATION, objectPath, type StorageNodeObject, type VolumeObject } from '../../../operator/api.ts';
import { parseQuantity } from '../../../operator/quantity.ts';
import { KEYS, pool } from '../../support/operator/builders.ts';
import { Rig } from '../../support/operator/rig.ts';
import { SeededRandom } from '../../support/seededRandom.ts';

const REFLINK_POOL = pool({ reflink: true });
const SEEDS = process.env.SEED === undefined ? Array.from({ length: 25 }, (_, index) => index + 1) : [Number(process.env.SEED)];
const ROUNDS = 120;
const LETTERS = [...'abcde'];
const VOLUMES_MAX = 4;
const SNAPSHOTS_MAX = 3;
/** Steps, each a tenth of a second, in which a world without faults must become well: longer than the longest back-off. */
const CALM_STEPS_MAX = 4_500;

class Chance {
  readonly rig: Rig;
  readonly #random: SeededRandom;
  readonly #epochs = new Map<string, number>();
  #generation = 0;
  #names = 0;
  readonly #giveUp = new Set<string>();

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.rig = new Rig(seed + 1_000);
  }

  #pick<Value>(values: readonly Value[]): Value {
    const value = values[this.#random.below(values.length)];
    if (value === undefined) throw new Error('nothing to pick from');
    return value;
  }

  async begin(): Promise<void> {
    // Short enough that nodes stay away for longer.
    this.rig.replaceAfterMs = 4_000;
    for (const letter of LETTERS) this.rig.start(letter, { pools: [REFLINK_POOL] });
    this.rig.elect();
    await this.rig.step(10);
  }

  async round(): Promise<void> {
    await this.#pick(this.#deeds())();
    const steps = 1 + this.#random.below(12);
    for (let count = 0; count < steps; count++) {
      await this.rig.step();
      this.check();
    }
  }

  #deeds(): (() => void | Promise<void>)[] {
    const { rig } = this;
    const names = rig.volumes.map(({ metadata }) => metadata.name);
    const ofVolume = (deed: (name: string) => void): (() => void) => (names.length === 0 ? () => undefined : () => deed(this.#pick(names)));
    const attachTo = () => this.#pick(['', ...LETTERS.map((letter) => `node-${letter}`)]);
    return [
      async () => {
        if (names.length < VOLUMES_MAX)
          await rig.create(`v${++this.#names}`, {
            replicas: 1 + this.#random.below(4),
            attachTo: attachTo(),
            shards: this.#pick([1, 1, 2, 3]),
          });
      },
      async () => {
        if (names.length > 0 && rig.snapshots.length < SNAPSHOTS_MAX) await rig.createSnapshot(`s${++this.#names}`, this.#pick(names));
      },
      () => this.#clone(),
      () => {
        if (rig.snapshots.length > 0) rig.api.delete(rig.snapshotPath(this.#pick(rig.snapshots).metadata.name));
      },
      () => {
        if (rig.snapshots.length > 0 && this.#random.chance(0.3))
          rig.api.deleteByForce(rig.snapshotPath(this.#pick(rig.snapshots).metadata.name));
      },
      ofVolume((name) => this.#grow(name)),
      ofVolume((name) => rig.change(name, { attachTo: attachTo() })),
      ofVolume((name) => rig.change(name, { attachTo: attachTo() })),
      ofVolume((name) => rig.change(name, { replicas: 1 + this.#random.below(4) })),
      ofVolume((name) => this.#ask(name)),
      () => this.#want(this.#pick(LETTERS), { evict: this.#random.chance(0.5) }),
      () => this.#want(this.#pick(LETTERS), { evict: false, maintenance: this.#random.chance(0.3) }),
      ofVolume((name) => rig.api.delete(rig.path(name))),
      ofVolume((name) => (this.#random.chance(0.3) ? rig.api.deleteByForce(rig.path(name)) : undefined)),
      () => rig.kill(this.#pick(LETTERS)),
      () => void rig.start(this.#pick(LETTERS), { pools: [REFLINK_POOL] }),
      () => void rig.start(this.#pick(LETTERS), { pools: [REFLINK_POOL] }),
      () => this.#failReplica(),
      () => void this.#still(this.#pick(LETTERS)),
      () => rig.elect(),
      () =>
        void rig.store.commitFaults.push(
          ...Array.from({ length: 3 }, () => this.#pick(['none', 'lostBefore', 'lostAfter', 'late'] as const)),
        ),
      () => rig.store.land(),
      () => rig.api.breakWatches(),
    ];
  }

  async #clone(): Promise<void> {
    const { rig } = this;
    if (rig.volumes.length >= VOLUMES_MAX) return;
    const name = `v${++this.#names}`;
    const rest = { size: '8Gi', replicas: 1 + this.#random.below(3) };
    if (this.#random.chance(0.5) && rig.snapshots.length > 0) {
      const snapshot = this.#pick(rig.snapshots).metadata.name;
      await rig.create(name, { ...rest, shards: this.#shardsOf(snapshot), source: { snapshot } });
    } else if (rig.volumes.length > 0) {
      const { metadata, spec } = this.#pick(rig.volumes);
      await rig.create(name, { ...rest, shards: spec.shards, source: { volume: metadata.name } });
    }
  }

  #shardsOf(snapshot: string): number {
    const of = this.rig.snapshots.find(({ metadata }) => metadata.name === snapshot)?.spec.volume;
    return this.rig.volumes.find(({ metadata }) => metadata.name === of)?.spec.shards ?? 1;
  }

  #want(letter: string, change: Partial<StorageNodeObject['spec']>): void {
    const path = objectPath('storagenodes', `node-${letter}`);
    if (this.rig.api.object(path)) this.rig.api.change<StorageNodeObject>(path, ({ spec }) => Object.assign(spec, change));
  }

  /** Of some replica to some node, whether that makes sense or not. */
  #ask(name: string): void {
    const move = `node-${this.#pick(LETTERS)}=node-${this.#pick(LETTERS)}`;
    this.rig.api.change<VolumeObject>(this.rig.path(name), ({ metadata }) =>
      Object.assign(metadata, { annotations: { [MOVE_ANNOTATION]: move } }),
    );
  }

  #grow(name: string): void {
    const size = this.rig.volume(name)?.spec.size;
    if (size === '1Gi') this.rig.change(name, { size: '2Gi' });
  }

  #still(letter: string): void {
    const agent = this.rig.agent(letter);
    agent.isStill = !agent.isStill;
  }

  /** One that others can replace: losing the last good replica is not what the operator has to survive. */
  #failReplica(): void {
    for (const config of this.rig.configs) {
      const shard = this.#pick(config.shards);
      const failed = [...this.rig.agents.values()].flatMap((agent) => agent.failed.map(({ replica }) => replica));
      const sound =
        shard?.members.filter(({ replica, leaving }) => !leaving && shard.inSync.includes(replica) && !failed.includes(replica)) ?? [];
      const victim = sound[0];
      if (sound.length < 3 || !victim || failed.length > 0) continue;
      this.rig.agents.get(victim.node)?.failed.push({ volume: config.uid, replica: victim.replica, reason: 'chance' });
      return;
    }
  }

  /** What must hold at every moment. */
  check(): void {
    for (const config of this.rig.configs) this.#checkConfig(config);
    const leader = this.rig.store.json<{ generation: number }>(KEYS.leader);
    expect(leader?.generation ?? 0, 'generation').to.be.at.least(this.#generation);
    this.#generation = leader?.generation ?? 0;
    const pointers = [...this.rig.store.entriesOf(KEYS.pointers).keys()].filter(
      (key) => !this.rig.configs.some(({ uid }) => key.endsWith(uid)),
    );
    expect(pointers, 'pointers without a config').to.deep.equal([]);
  }

  #checkConfig(config: VolumeConfig): void {
    expect(config.epoch, 'epoch').to.be.at.least(this.#epochs.get(config.uid) ?? 0);
    this.#epochs.set(config.uid, config.epoch);
    for (const shard of config.shards) this.#checkShard(config, shard);
  }

  #checkShard(config: VolumeConfig, shard: Shard): void {
    for (const replica of shard.inSync) {
      const member = shard.members.find((one) => one.replica === replica);
      expect(member, 'an in-sync replica is a member').to.not.equal(undefined);
      expect(member && this.rig.disks.of(member.node).has(replica), 'an in-sync replica was made, and not deleted').to.equal(true);
    }
    for (const member of shard.members) {
      expect(this.rig.store.entry(KEYS.pointer(member.node, config.uid)), 'a pointer for each member').to.not.equal(null);
    }
  }

  async calm(): Promise<void> {
    this.rig.store.commitFaults.length = 0;
    this.rig.store.land();
    for (const letter of LETTERS) this.rig.start(letter, { pools: [REFLINK_POOL] });
    for (const letter of LETTERS) this.#want(letter, { evict: false, maintenance: false });
    // What can never become well: its source is gone.
    await this.rig.step(20);
    for (const { metadata, status } of this.rig.volumes) if (status?.phase === 'Pending') this.#giveUp.add(metadata.name);
    for (const name of this.#giveUp) this.rig.api.delete(this.rig.path(name)); // until then phases speak of before
    await this.rig.until('all is well', () => this.#isWell(), CALM_STEPS_MAX);
  }

  #isWell(): boolean {
    const { rig } = this;
    const healthy = rig.volumes.every(({ status, metadata }) => status?.phase === 'Healthy' && !metadata.deletionTimestamp);
    const members = rig.configs.flatMap((config) => config.shards.flatMap((shard) => shard.members.map(({ replica }) => replica)));
    const isAsAsked = rig.volumes.every(({ metadata, spec }) =>
      [rig.config(metadata.name)].every(
        (config) =>
          config?.minInSync === Math.floor(spec.replicas / 2) + 1 && config.shards.every(({ members }) => members.length === spec.replicas),
      ),
    );
    const nobodyAsks = rig.volumes.every(({ metadata }) => metadata.annotations?.[MOVE_ANNOTATION] === undefined);
    const disks = rig.disks.all;
    const clean = disks.length === members.length && disks.every((replica) => members.includes(replica));
    const records = [...rig.store.entriesOf(KEYS.snapshots).values()].map(({ value }) => JSON.parse(value) as RecordedSnapshot);
    const snapshots = rig.snapshots.every(({ status, spec }) => status?.ready || rig.volume(spec.volume) === null);
    const parts = records.reduce((sum, { replicas }) => sum + replicas.length, 0) <= rig.disks.allSnapshots.length;
    const wanted = rig.snapshots.filter(({ status }) => status?.ready).length === records.length;
    const isServed = rig.store.entriesOf(KEYS.serving).size === rig.volumes.filter(({ spec }) => spec.attachTo).length;
    const isStill = isServed && rig.store.entriesOf(KEYS.tasks).size === 0;
    return (
      healthy && isAsAsked && nobodyAsks && clean && snapshots && parts && wanted && rig.configs.length === rig.volumes.length && isStill
    );
  }

  checkWell(): void {
    for (const { metadata, spec, status } of this.rig.volumes) {
      const config = this.rig.config(metadata.name);
      expect(config?.shards.length).to.equal(spec.shards);
      for (const shard of config?.shards ?? [])
        expect([shard.members.length, shard.inSync.length]).to.deep.equal([spec.replicas, spec.replicas]);
      expect(parseQuantity(spec.size)).to.equal(config?.sizeBytes);
      expect(config?.minInSync).to.equal(Math.floor(spec.replicas / 2) + 1);
      expect(status?.attachment?.node ?? '').to.equal(spec.attachTo ?? '');
    }
    expect(this.rig.store.entriesOf(KEYS.claims).size).to.equal(0);
    expect(this.rig.store.entriesOf(KEYS.serving).size).to.equal(this.rig.volumes.filter(({ spec }) => spec.attachTo).length);
  }
}

describe('operator: lives of volumes, as chance has them', function () {
  this.timeout(120_000);
  for (const seed of SEEDS) {
    it(`seed ${seed}`, async () => {
      const chance = new Chance(seed);
      await chance.begin();
      for (let round = 0; round < ROUNDS; round++) await chance.round();
      await chance.calm();
      chance.checkWell();
    });
  }
});
