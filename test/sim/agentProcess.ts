/**
 * One run of an agent: its replicas, and a primary when the config names it. It can be paused, and killed; what was to happen in a paused one
 * happens when it goes on, in an order of its own for each connection.
 */

import { Proposer } from '../../agent/control/proposer.ts';
import type { BlockDevice, ReplicaStore } from '../../agent/ports.ts';
import { Primary } from '../../agent/primary/primary.ts';
import type { Patience } from '../../agent/replica/heat.ts';
import { Replica } from '../../agent/replica/replica.ts';
import type { ReplicaLink, ReplicaSession } from '../../agent/replication/link.ts';
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName, ReplicaId } from '../../core/ids.ts';
import { silentLog } from '../../core/log.ts';
import type { Settings } from '../../core/settings.ts';
import { SCHEMA } from '../../core/versions.ts';
import type { Seal } from '../../core/wire/messages.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import { CachedReads } from './cachedReads.ts';
import type { ReplicaFiles } from './files.ts';
import type { Host } from './network.ts';
import type { Watcher } from './register.ts';
import { inForceIn, KEYS, RegisterStore } from './registerStore.ts';
import { between, randomFor } from './seeds.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

export const TICK_MS = 50;
/** The agent's net below its watch. */
const LIST_MS = 2_000;

/**
 * Runs are hardly longer than `LINGER_MS`, and every promotion touches what is logged anew: with what is hot kept, no log is ever empty in them, and what shows only where nothing is
 * logged never does: nothing could rot. So in some runs (`lingers`) an extent leaves as soon as it may, as after a pause longer than any run.
 */
const IMPATIENT: Patience = { coolMs: 0, lingerMs: 0 };

/** A primary as the rest of the world sees it. */
export type Serving = {
  hasBegun: boolean;
  process: AgentProcess;
  primary: Primary;
  epoch: number;
  device: BlockDevice;
  isOpen: boolean;
  isOver: boolean;
};

export class AgentProcess implements Host, Watcher {
  readonly node: NodeName;
  readonly instance: InstanceId;
  readonly #world: World;
  readonly #clock: Clock;
  readonly #cacheRandom: SeededRandom;
  readonly #replicas = new Map<ReplicaId, Replica>();
  readonly #stores = new Map<ReplicaId, ReplicaStore>();
  #isAlive = true;
  #isPaused = false;
  /** What happened while it was paused: one list for each channel. */
  readonly #deferred = new Map<string, (() => void)[]>();
  #latest: VolumeConfig | null = null;
  #serving: Serving | null = null;
  #proposer: Proposer | null = null;
  #settings: Settings;
  #hasAskedFirst: boolean;
  #endedEpoch = -1;
  #mayStart = true;
  #listedAtMs: number;

  constructor(world: World, node: NodeName, instance: InstanceId, clock: Clock) {
    this.#world = world;
    this.#cacheRandom = randomFor(world.options.seed + Number.parseInt(instance.slice(-6), 16), 'cache');
    this.node = node;
    this.instance = instance;
    this.#clock = clock;
    this.#settings = world.settings;
    this.#hasAskedFirst = world.settings.leaseMs === 0;
    this.#listedAtMs = clock.monotonicMs();
    this.#scheduleTick();
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get serving(): Serving | null {
    return this.#serving;
  }

  /** It has served without leases: see OnePrimary. */
  get hasAskedFirst(): boolean {
    return this.#hasAskedFirst;
  }

  get isStopping(): boolean {
    return !this.#mayStart;
  }

  /**
   * It answers nobody before that it was open is durable. One that is found to have failed is reported, as every agent reports what it holds and
   * does not serve: the process before may have been killed before it said so, or have failed in closing it.
   */
  open(replica: ReplicaId, files: ReplicaFiles, bootId: string): void {
    const opened = (store: ReplicaStore | null) => {
      const { failed } = files.meta;
      if (failed !== null) this.#world.replicaFailed(replica, failed);
      if (store) this.#begin(replica, store);
    };
    files.open(bootId, this.#world.storeTiming(this), opened);
  }

  run(channel: string, act: () => void): void {
    if (!this.#isAlive) return;
    if (!this.#isPaused) return this.#now(act);
    const waiting = this.#deferred.get(channel);
    if (waiting) waiting.push(act);
    else this.#deferred.set(channel, [act]);
  }

  /** In this process, after a while. */
  later(delayMs: number, label: string, act: () => void): void {
    this.#world.schedule.after(delayMs, label, () => this.run(label, act));
  }

  accept(seal: Seal, link: ReplicaLink): ReplicaSession {
    const replica = this.#replicas.get(seal.replica);
    if (replica) return replica.accept(seal, link);
    link.send({ type: 'refused', code: 'unknownReplica', message: 'no such replica here', promisedEpoch: 0, seenVersion: 0 });
    link.close('no such replica here');
    return { message: () => undefined, burstEnd: () => undefined, closed: () => undefined };
  }

  seen(config: VolumeConfig): void {
    this.run('config', () => this.#see(config));
  }

  /** As read from etcd, some time after they were changed. */
  settingsSeen(settings: Settings): void {
    this.run('settings', () => {
      this.#settings = settings;
      this.#hasAskedFirst ||= settings.leaseMs === 0;
    });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const { schedule, random } = this.#world.resumption;
    for (const [channel, acts] of this.#deferred) {
      const startMs = random.chance(0.5) ? 0 : between(random, 0, 30);
      schedule.after(startMs, `resume ${channel}`, () => {
        for (const act of acts) this.run(channel, act);
      });
    }
    this.#deferred.clear();
  }

  kill(): void {
    this.#isAlive = false;
    this.#deferred.clear();
    if (this.#serving) this.#ended(this.#serving, 'killed');
  }

  /** Lets its primary go, then closes its replicas, then is no more. */
  shutDown(gone: () => void): void {
    this.#mayStart = false;
    this.#serving?.primary.letGo();
    let closing = 0;
    const closed = () => {
      closing--;
      if (closing === 0 && this.#isAlive) gone();
    };
    const wait = () => {
      if (this.#serving) return this.later(20, 'shut down', wait);
      closing = this.#replicas.size + 1;
      for (const replica of this.#replicas.values()) replica.close(closed);
      this.later(0, 'shut down', closed);
    };
    wait();
  }

  #now(act: () => void): void {
    act();
    this.#world.afterEventOf(this);
  }

  #begin(replica: ReplicaId, store: ReplicaStore): void {
    this.#stores.set(replica, store);
    this.#replicas.set(
      replica,
      new Replica({
        store,
        clock: this.#clock,
        ...(this.#world.options.lingers ? {} : { patience: IMPATIENT }),
        events: {
          failed: (reason) => this.#world.replicaFailed(replica, reason),
          sessionOpened: (epoch, peer) => {
            this.#world.schedule.trace(`${replica.slice(-2)} sealed by ${peer} for ${epoch}`);
            this.#world.monotone.promiseTold(replica, epoch);
          },
          sessionEnded: (reason) => this.#world.schedule.trace(`${replica.slice(-2)} session ended: ${reason}`),
          protocolError: (rule, peer) => this.#world.protocolError(`${replica.slice(-2)} by ${peer}: ${rule}`),
        },
      }),
    );
    if (this.#latest) this.#replicas.get(replica)?.observe(this.#latest);
  }

  #scheduleTick(): void {
    const { random } = this.#world.resumption;
    this.#world.schedule.after(TICK_MS * between(random, 0.8, 1.2), 'tick', () => {
      if (!this.#isAlive) return;
      if (!this.#isPaused) this.#now(() => this.#tick());
      this.#scheduleTick();
    });
  }

  #tick(): void {
    if (this.#mayStart) this.#world.register.signOfLife(this.node, this.instance);
    this.#list();
    this.#serving?.primary.tick();
    this.#proposer?.tick();
    for (const replica of this.#replicas.values()) replica.tick();
  }

  #list(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#listedAtMs < LIST_MS) return;
    this.#listedAtMs = nowMs;
    this.#world.register.read(this);
  }

  #see(config: VolumeConfig): void {
    if (config.version <= (this.#latest?.version ?? -1)) return;
    this.#latest = config;
    for (const replica of this.#replicas.values()) replica.observe(config);
    this.#serving?.primary.observe(config);
    this.#startIfNamed(config);
  }

  #startIfNamed(config: VolumeConfig): void {
    const { primary, epoch } = config;
    if (this.#serving || !this.#mayStart || epoch <= this.#endedEpoch) return;
    if (primary?.node !== this.node || primary.instance !== this.instance) return;
    this.#start(config);
  }

  #start(config: VolumeConfig): void {
    const world = this.#world;
    const latest = () => this.#latest ?? config;
    const store = new RegisterStore(world.register, this);
    const proposer = new Proposer({
      store,
      keys: KEYS,
      clock: this.#clock,
      log: silentLog,
      node: this.node,
      schema: { version: SCHEMA.highest },
      latest: () => inForceIn(world.register, latest()),
      read: () => store.readInForce(),
      seen: (found) => {
        if (found === null || !('config' in found)) throw new Violation('contract', `the config cannot be read: ${found?.problem}`);
        this.#see(found.config);
      },
      // Never from within the primary's own call.
      tellAgain: () => this.later(0, 'tell again', () => this.#serving?.primary.observe(latest())),
      recheck: () => world.register.read(this),
    });
    this.#proposer = proposer;
    const primary = new Primary({
      config,
      node: this.node,
      instance: this.instance,
      settings: () => this.#settings,
      connect: (member, seal, listener) => world.network.connect(this, member.node, seal, listener),
      openReads: ({ replica }) => {
        const store = this.#stores.get(replica);
        return store ? new CachedReads(store, this.#cacheRandom, world.options.readsCached) : null;
      },
      configPort: proposer,
      clock: this.#clock,
      progressPace: { intervalMs: 20, extents: 1 },
      flushStreakMin: 0,
      // Nothing is heard before it is made: it needs messages first.
      events: {
        socket: (isOpen) => this.#socket(isOpen),
        closed: (why, reason) => {
          world.schedule.trace(`${this.node} e${config.epoch} ${why}: ${reason}`);
          if (this.#serving) this.#ended(this.#serving, why);
        },
        reportChanged: () => undefined,
      },
    });
    this.#serving = { process: this, primary, device: primary.device, epoch: config.epoch, hasBegun: false, isOpen: false, isOver: false };
    world.started(this.#serving);
  }

  #socket(isOpen: boolean): void {
    const serving = this.#serving;
    if (!serving) return;
    serving.isOpen = isOpen;
    this.#world.schedule.trace(`${this.node} e${serving.epoch} socket ${isOpen ? 'open' : 'closed'}`);
    if (isOpen) this.#world.socketOpened(serving);
    else this.#world.socketClosed(serving);
  }

  #ended(serving: Serving, why: string): void {
    serving.isOver = true;
    serving.isOpen = false;
    this.#endedEpoch = serving.epoch;
    this.#proposer?.close();
    this.#serving = null;
    this.#world.ended(serving, why);
    if (this.#latest && this.#isAlive) this.#startIfNamed(this.#latest);
  }
}
