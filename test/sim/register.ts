/**
 * The volume's config in etcd: a register with compare-and-set and watches. Requests and answers are slow, lost, overtake each other, and land long after
 * their sender has given up or died; now and then etcd has no quorum, and nothing at all happens. Agents that are cut off hear nothing. A watch tells
 * a later config for several, or the same one twice. Also keeps the machines' leases.
 */
import { assert } from '../../core/assert.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId } from '../../core/ids.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { Schedule } from './schedule.ts';
import { between, delayMs } from './seeds.ts';
import type { Tally } from './tally.ts';

/** An agent's lease: after so long without a sign of life its machine is taken for gone. */
export const MACHINE_LEASE_MS = 1_500;

export interface Watcher {
  readonly node: string;
  seen(config: VolumeConfig): void;
  run(channel: string, act: () => void): void;
}

/** Every change of a config makes a version, so that stands for etcd's revision of the key. */
export const revisionOf = (config: VolumeConfig): string => String(config.version);

export type RegisterFaults = { loses: number; repeats: number; coalesces: number };

export class ConfigRegister {
  readonly #schedule: Schedule;
  readonly #random: SeededRandom;
  readonly #usualMs: number;
  readonly #changed: (before: VolumeConfig, after: VolumeConfig) => void;
  #faults: RegisterFaults;
  readonly #tally: Tally;
  #config: VolumeConfig;
  /** By version of the config in force: what the leader wrote last before it. */
  readonly #leaders = new Map<number, VolumeConfig>();
  #hasQuorum = true;
  readonly #watchers = new Set<Watcher>();
  readonly #cutOff = new Set<string>();
  readonly #signs = new Map<InstanceId, number>();

  constructor(options: {
    schedule: Schedule;
    random: SeededRandom;
    usualMs: number;
    faults: RegisterFaults;
    tally: Tally;
    config: VolumeConfig;
    changed: (before: VolumeConfig, after: VolumeConfig) => void;
  }) {
    this.#schedule = options.schedule;
    this.#random = options.random;
    this.#usualMs = options.usualMs;
    this.#faults = options.faults;
    this.#tally = options.tally;
    this.#config = options.config;
    this.#leaders.set(options.config.version, options.config);
    this.#changed = options.changed;
  }

  get config(): VolumeConfig {
    return this.#config;
  }

  watch(watcher: Watcher): void {
    this.#watchers.add(watcher);
    this.read(watcher);
  }

  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Tells the watcher the config as it stands some time from now. */
  read(watcher: Watcher): void {
    this.request(
      watcher.node,
      'read',
      () => this.#config,
      (config) => watcher.seen(config),
    );
  }

  after(delay: number, act: () => void): void {
    this.#schedule.after(delay, 'etcd client', act);
  }

  /** `land` happens at some time, now or much later, or never; what it gives is told or not. */
  request<Value>(node: string, label: string, land: () => Value, told: (value: Value) => void): void {
    if (this.#random.chance(this.#faults.loses)) return this.#tally.count('etcd request lost');
    this.#after(node, label, () => {
      if (!this.#hasQuorum) return this.#landLater(node, label, land);
      const value = land();
      if (this.#random.chance(this.#faults.loses)) return this.#tally.count('etcd answer lost');
      this.#after(node, 'told', () => told(value));
    });
  }

  /** What the leader wrote, of which `config` is or was made. */
  leadersOf({ version }: VolumeConfig): VolumeConfig {
    const leaders = this.#leaders.get(version);
    assert(leaders !== undefined, `version ${version} was never in force`);
    return leaders;
  }

  /** The leader's own writes, and what requests become when they land: `isRecord`, a primary's. */
  apply(known: VolumeConfig, next: VolumeConfig, isRecord = false): boolean {
    if (!this.#hasQuorum) return false;
    if (this.#config.version !== known.version || this.#config.epoch !== known.epoch) return false;
    assert(next.version === known.version + 1, `version ${next.version} after ${known.version}`);
    const before = this.#config;
    this.#config = next;
    this.#leaders.set(next.version, isRecord ? this.leadersOf(before) : next);
    this.#schedule.trace(`config ${describe(next)}`);
    this.#changed(before, next);
    for (const watcher of this.#watchers) this.#tell(watcher, next);
    return true;
  }

  signOfLife(node: string, instance: InstanceId): void {
    if (!this.#cutOff.has(node)) this.#signs.set(instance, this.#schedule.nowMs);
  }

  /** The lease of a process that closed it, or died long enough ago, is gone. */
  hasLease(instance: InstanceId): boolean {
    return this.#schedule.nowMs - (this.#signs.get(instance) ?? Number.NEGATIVE_INFINITY) < MACHINE_LEASE_MS;
  }

  cutOff(node: string): void {
    this.#cutOff.add(node);
  }

  reconnect(node: string): void {
    this.#cutOff.delete(node);
    for (const watcher of this.#watchers) if (watcher.node === node) this.read(watcher);
  }

  /** From here on what is asked is answered, and watches tell everything once. */
  endFaults(): void {
    this.#faults = { loses: 0, repeats: 0, coalesces: 0 };
    this.findQuorum();
  }

  /** Nothing is changed or answered from now on; what is asked may happen afterwards. */
  loseQuorum(): void {
    this.#hasQuorum = false;
    this.#schedule.trace('etcd has no quorum');
  }

  findQuorum(): void {
    if (this.#hasQuorum) return;
    this.#hasQuorum = true;
    this.#schedule.trace('etcd has its quorum again');
    for (const watcher of this.#watchers) this.read(watcher);
  }

  #landLater<Value>(node: string, label: string, land: () => Value): void {
    this.#tally.count('etcd unavailable');
    if (this.#random.chance(0.5)) return;
    this.#after(node, label, () => {
      if (!this.#hasQuorum) return;
      land();
      this.#tally.count('etcd request landed after all');
    });
  }

  /** Level by level: a watch that lists again skips what was in between. */
  #tell(watcher: Watcher, config: VolumeConfig): void {
    const slowly = this.#random.chance(0.1);
    const coalesces = this.#random.chance(this.#faults.coalesces);
    this.#schedule.after(slowly ? between(this.#random, 0, 2_000) : 0, 'watch', () => {
      if (coalesces && config !== this.#config) this.#tally.count('watch coalesced');
      this.#answer(watcher, coalesces ? this.#config : config);
    });
    if (!this.#random.chance(this.#faults.repeats)) return;
    this.#tally.count('watch repeated');
    this.#schedule.after(between(this.#random, 0, 3_000), 'watch', () => this.#answer(watcher, config));
  }

  #answer(watcher: Watcher, config: VolumeConfig): void {
    this.#after(watcher.node, 'told', () => watcher.seen(config));
  }

  /** What a node that is cut off says may still arrive later; what it would hear is lost, but for what it reads when it is back. */
  #after(node: string, label: string, act: () => void): void {
    if (this.#cutOff.has(node) && label === 'told') return;
    const extraMs = this.#cutOff.has(node) ? between(this.#random, 0, 5_000) : 0;
    this.#schedule.after(extraMs + delayMs(this.#random, this.#usualMs, this.#usualMs * 100), label, act);
  }
}

export function describe(config: VolumeConfig): string {
  const shards = config.shards.map(({ members, inSync }) => {
    const names = members.map(
      (member) => `${member.replica.slice(-2)}${member.leaving ? '-' : ''}${member.leftAt ? `@${member.leftAt}` : ''}`,
    );
    return `in ${inSync.map((replica) => replica.slice(-2))} of ${names}`;
  });
  const primary = config.primary ? `${config.primary.node}/${config.primary.instance.slice(-3)} ${config.primary.mode}` : 'nobody';
  return `v${config.version} e${config.epoch} ${primary} ${shards.join('; ')}${config.lossAt ? ` lossAt ${config.lossAt}` : ''}`;
}
