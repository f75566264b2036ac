/**
 * A small leader: gives the volume a primary where people want it, raises the epoch when the one of before is gone or at will, and changes who is
 * a member. It never takes anybody out of the in-sync set. Each of its writes compares the version that it decided on.
 */
import {
  attachmentFrom,
  isLossUnseen,
  type Member,
  outOfSync,
  type PrimaryMode,
  type VolumeConfig,
  withoutAttachment,
} from '../../core/config.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../../core/extent.ts';
import type { NodeName } from '../../core/ids.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import { between, pick } from './seeds.ts';
import type { World } from './world.ts';

/** A primary that is told to let go and does not is given up after this. */
const RELEASE_PATIENCE_MS = 3_000;
/** One that ended by itself is not missed at once. */
const ENDED_PATIENCE_MS = 2_000;

export class SimulatedLeader {
  readonly #world: World;
  readonly #random: SeededRandom;
  /** Where people want it; null: nowhere. */
  want: NodeName | null;
  #releasingSinceMs: number | null = null;
  #missingSinceMs: number | null = null;

  constructor(world: World, random: SeededRandom, want: NodeName) {
    this.#world = world;
    this.#random = random;
    this.want = want;
    this.#next();
  }

  /** Raises the epoch over whoever is primary: somebody took it for dead. */
  promoteAtWill(): void {
    const { config } = this.#world.register;
    const node = this.want ?? pick(this.#random, this.#alive());
    if (node) this.#promote(config, node, this.want === null ? 'background' : 'serve');
  }

  /** Moves the volume at once, whatever the primary of now is doing. */
  promoteElsewhere(): void {
    const { config } = this.#world.register;
    const node = pick(
      this.#random,
      this.#alive().filter((other) => other !== config.primary?.node),
    );
    if (!node) return;
    this.want = node;
    this.#promote(config, node, 'serve');
  }

  /** In one of the shards a member is to leave, or one comes. */
  changeMembers(): void {
    const { config } = this.#world.register;
    const index = this.#random.below(config.shards.length);
    const stayers = config.shards[index]?.members.filter((member) => !member.leaving) ?? [];
    if (stayers.length > this.#world.options.replicas || (stayers.length > config.minInSync && this.#random.chance(0.3))) {
      const leaver = pick(this.#random, stayers);
      if (leaver) this.markLeaving(index, leaver);
    } else this.addMember(index);
  }

  grow(): void {
    const { config } = this.#world.register;
    const sizeBytes = Math.min(this.#world.options.maxSizeBytes, config.sizeBytes + (1 + this.#random.below(32)) * BLOCK_BYTES * 4);
    if (sizeBytes > config.sizeBytes) this.#write(config, { ...config, sizeBytes });
  }

  /** Live, up and down. */
  changeLimits(): void {
    const { config } = this.#world.register;
    const { limits: _, ...rest } = config;
    const limits = {
      iops: this.#random.chance(0.5) ? 0 : 100 + this.#random.below(400),
      bytesPerSecond: this.#random.chance(0.5) ? 0 : EXTENT_BYTES,
    };
    this.#write(config, this.#random.chance(0.3) ? rest : { ...config, limits });
  }

  markLeaving(index: number, leaver: Member): void {
    this.#withMembers(index, (members) =>
      members.map((member) => (member.replica === leaver.replica ? { ...member, leaving: true as const } : member)),
    );
  }

  /** Never two replicas of a shard on one node. */
  addMember(index: number): void {
    const { config } = this.#world.register;
    const members = config.shards[index]?.members ?? [];
    const free = this.#world.nodes().filter((node) => !members.some((member) => member.node === node) && this.#world.isRunning(node));
    const node = pick(this.#random, free);
    if (!node) return;
    const replica = this.#world.createReplica(node, index);
    this.#withMembers(index, (known) => [...known, { replica, node, pool: 'pool' }]);
  }

  #next(): void {
    this.#world.schedule.after(between(this.#random, 50, 250), 'leader', () => {
      this.#step();
      this.#next();
    });
  }

  #alive(): NodeName[] {
    return this.#world.nodes().filter((node) => this.#world.runningInstance(node) !== null);
  }

  #step(): void {
    const { config } = this.#world.register;
    for (let index = 0; index < config.shards.length; index++) if (this.#mendMembers(config, index)) return;
    if (config.primary) this.#keep(config, config.primary.node, config.primary.mode);
    else this.#attach(config);
  }

  /** True: something of the shard was changed. */
  #mendMembers(config: VolumeConfig, index: number): boolean {
    const shard = config.shards[index] ?? { members: [], inSync: [] };
    const done = shard.members.filter((member) => member.leaving && !shard.inSync.includes(member.replica));
    if (done.length > 0 && this.#random.chance(0.3)) {
      this.#withMembers(index, (members) => members.filter((member) => !done.includes(member)));
      return true;
    }
    const stayers = shard.members.filter((member) => !member.leaving);
    const failed = stayers.find((member) => this.#world.failed.has(member.replica));
    // Nobody may leave before enough others are there.
    const tooFew = stayers.length < config.minInSync && this.#random.chance(0.3);
    if (tooFew || (failed && shard.members.length <= this.#world.options.replicas)) this.addMember(index);
    else if (failed) this.markLeaving(index, failed);
    else return false;
    return true;
  }

  #attach(config: VolumeConfig): void {
    this.#releasingSinceMs = null;
    if (this.want !== null && this.#world.runningInstance(this.want)) return this.#promote(config, this.want, 'serve');
    const hasWork = config.shards.some((shard) => outOfSync(shard).length > 0 || shard.members.some((member) => member.leaving));
    const node = pick(this.#random, this.#alive());
    if (this.want === null && hasWork && node) this.#promote(config, node, 'background');
  }

  #keep(config: VolumeConfig, node: NodeName, mode: PrimaryMode): void {
    if (this.#isLost(config, node)) {
      this.#missingSinceMs = null;
      return this.#attach(config);
    }
    // People who were told of a loss attach anew.
    if (isLossUnseen(config) && mode === 'serve') return this.#random.chance(0.3) ? this.#setMode(config, 'background') : undefined;
    if (node === this.want) return mode === 'serve' ? undefined : this.#setMode(config, 'serve');
    if (mode === 'serve') return this.#setMode(config, this.want === null && this.#random.chance(0.5) ? 'background' : 'release');
    if (this.want === null) return;
    if (mode === 'background') return this.#setMode(config, 'release');
    const { nowMs } = this.#world.schedule;
    this.#releasingSinceMs ??= nowMs;
    if (nowMs - this.#releasingSinceMs > RELEASE_PATIENCE_MS) this.#attach(config);
  }

  /** Its machine's lease is gone; or its agent is there and runs no primary of this epoch: it has ended, or never begun. */
  #isLost(config: VolumeConfig, node: NodeName): boolean {
    if (!config.primary || !this.#world.register.hasLease(config.primary.instance)) return true;
    const { nowMs } = this.#world.schedule;
    const isMissing = this.#world.servingOn(node)?.epoch !== config.epoch;
    this.#missingSinceMs = isMissing ? (this.#missingSinceMs ?? nowMs) : null;
    return this.#missingSinceMs !== null && nowMs - this.#missingSinceMs > ENDED_PATIENCE_MS;
  }

  #promote(config: VolumeConfig, node: NodeName, mode: PrimaryMode): void {
    const instance = this.#world.runningInstance(node);
    if (!instance) return;
    this.#releasingSinceMs = null;
    const epoch = config.epoch + 1;
    this.#write(config, { ...this.#attachedBy(config, node, mode, epoch), epoch, primary: { node, instance, mode } });
  }

  #setMode(config: VolumeConfig, mode: PrimaryMode): void {
    if (!config.primary) return;
    const attached = this.#attachedBy(config, config.primary.node, mode, config.epoch);
    this.#write(config, { ...attached, primary: { ...config.primary, mode } });
  }

  /** As the real one does it. */
  #attachedBy(config: VolumeConfig, node: NodeName, mode: PrimaryMode, epoch: number): VolumeConfig {
    if (mode === 'background') return withoutAttachment(config);
    return mode === 'serve' ? { ...config, attachment: attachmentFrom(config, node, this.#world.bootId(node), epoch) } : config;
  }

  #withMembers(index: number, change: (members: Member[]) => Member[]): void {
    const { config } = this.#world.register;
    const shards = config.shards.map((shard, at) => (at === index ? { ...shard, members: change(shard.members) } : shard));
    this.#write(config, { ...config, shards });
  }

  #write(config: VolumeConfig, next: VolumeConfig): void {
    this.#world.schedule.after(between(this.#random, 0, 10), 'leader writes', () => {
      this.#world.register.apply(config, { ...next, version: config.version + 1 });
    });
  }
}
