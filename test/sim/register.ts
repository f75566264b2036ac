/**
 * The volume's config in etcd: a register with compare-and-set and watches. Requests and answers are delayed, lost, and land long after their
 * sender has given up or died; agents that are cut off hear nothing. Also keeps the machines' leases.
 */
import { assert } from '../../core/assert.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId } from '../../core/ids.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { Schedule } from './schedule.ts';
import { between, delayMs } from './seeds.ts';

/** An agent's lease: after so long without a sign of life its machine is taken for gone. */
export const MACHINE_LEASE_MS = 1_500;

export interface Watcher {
  readonly node: string;
  seen(config: VolumeConfig): void;
}

export class ConfigRegister {
  readonly #schedule: Schedule;
  readonly #random: SeededRandom;
  readonly #usualMs: number;
  readonly #changed: (before: VolumeConfig, after: VolumeConfig) => void;
  #config: VolumeConfig;
  readonly #watchers = new Set<Watcher>();
  readonly #cutOff = new Set<string>();
  readonly #signs = new Map<InstanceId, number>();

  constructor(options: {
    schedule: Schedule;
    random: SeededRandom;
    usualMs: number;
    config: VolumeConfig;
    changed: (before: VolumeConfig, after: VolumeConfig) => void;
  }) {
    this.#schedule = options.schedule;
    this.#random = options.random;
    this.#usualMs = options.usualMs;
    this.#config = options.config;
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
    this.#after(watcher.node, 'read', () => {
      const config = this.#config;
      this.#answer(watcher, config);
    });
  }

  /** Lands at some time, now or much later, and is told of or not. */
  compareAndSet(watcher: Watcher, known: VolumeConfig, next: VolumeConfig): void {
    this.#after(watcher.node, 'cas', () => {
      this.apply(known, next);
      if (!this.#random.chance(0.1)) this.#answer(watcher, this.#config);
    });
  }

  /** The leader's own writes, and what requests become when they land. */
  apply(known: VolumeConfig, next: VolumeConfig): boolean {
    if (this.#config.version !== known.version || this.#config.epoch !== known.epoch) return false;
    assert(next.version === known.version + 1, `version ${next.version} after ${known.version}`);
    const before = this.#config;
    this.#config = next;
    this.#schedule.trace(`config ${describe(next)}`);
    this.#changed(before, next);
    for (const watcher of this.#watchers) {
      const slowly = this.#random.chance(0.1);
      this.#schedule.after(slowly ? between(this.#random, 0, 2_000) : 0, 'watch', () => this.#answer(watcher, next));
    }
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
  const shard = config.shards[0];
  const members = shard?.members.map(
    (member) => `${member.replica.slice(-2)}${member.leaving ? '-' : ''}${member.leftAt ? `@${member.leftAt}` : ''}`,
  );
  const inSync = shard?.inSync.map((replica) => replica.slice(-2));
  const primary = config.primary ? `${config.primary.node}/${config.primary.instance.slice(-3)} ${config.primary.mode}` : 'nobody';
  return `v${config.version} e${config.epoch} ${primary} in ${inSync} of ${members}${config.lossAt ? ` lossAt ${config.lossAt}` : ''}`;
}
