/** The whole cluster in one object: machines, network, register, leader, clients, and the checkers that look on. Wiring, and what each part asks of it. */
import { newMeta } from '../../agent/replica/store/meta.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { extentCount } from '../../core/extent.ts';
import { type InstanceId, instanceId, type NodeName, type ReplicaId, replicaId, volumeUid } from '../../core/ids.ts';
import type { Settings } from '../../core/settings.ts';
import { AgentProcess, type Serving } from './agentProcess.ts';
import { checkAcknowledged, checkFlushed } from './checkers/acknowledged.ts';
import { checkBounded } from './checkers/bounded.ts';
import { checkCovers } from './checkers/covers.ts';
import { checkEnoughInSync, checkInSync, checkLargeEnough } from './checkers/inSync.ts';
import { checkLossSeen, checkLossTold, Linearizable } from './checkers/linearizable.ts';
import { Monotone } from './checkers/monotone.ts';
import { OnePrimary } from './checkers/onePrimary.ts';
import { SnapshotChecker } from './checkers/snapshots.ts';
import { placedRegisters, type ReplicaView, type Scene } from './checkers/view.ts';
import { DiskFiles } from './diskFiles.ts';
import { Faults } from './faults.ts';
import type { StoreTiming } from './files.ts';
import { Layout, shardSizes } from './layout.ts';
import { SimulatedLeader } from './leader.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import type { SimOptions } from './options.ts';
import { Platter } from './platter.ts';
import { ConfigRegister } from './register.ts';
import { Rot } from './rot.ts';
import { Schedule } from './schedule.ts';
import { between, randomFor } from './seeds.ts';
import { SimulatedSnapshots } from './snapshots.ts';
import { Tally } from './tally.ts';
import { Violation } from './violation.ts';
import { SimulatedClient } from './workload.ts';

const UID = volumeUid('volume-of-the-simulation');
/** One replica a run may fail for good: with more, nobody could promise that the volume gets well. */
const FAILURES_MAX = 1;

export class World {
  readonly options: SimOptions;
  readonly schedule: Schedule;
  readonly network: Network;
  readonly register: ConfigRegister;
  readonly leader: SimulatedLeader;
  readonly faults: Faults;
  readonly snapshots: SimulatedSnapshots;
  readonly snapshotChecker: SnapshotChecker;
  readonly rot: Rot | null;
  /** The largest size that any client was told. */
  #offeredBytes = 0;
  readonly clients: Linearizable;
  readonly layout: Layout;
  readonly onePrimary = new OnePrimary();
  readonly tally = new Tally();
  /** As they stand in etcd; each agent has read them at some time. */
  settings: Settings;
  readonly failed = new Set<ReplicaId>();
  readonly monotone = new Monotone();
  readonly #registers: Scene['registers'];
  readonly #machines = new Map<NodeName, Machine>();
  readonly #servings = new Set<Serving>();
  readonly #clients: SimulatedClient[];
  readonly #random: ReturnType<typeof randomFor>;
  readonly #diskRandom: ReturnType<typeof randomFor>;
  #nextId = 1;
  #ids = 0;
  #failures = 0;

  constructor(options: SimOptions, tell: ((line: string) => void) | null = null) {
    const { seed } = options;
    this.options = options;
    this.settings = options.settings;
    this.schedule = new Schedule(tell);
    this.#random = randomFor(seed, 'ids');
    this.#diskRandom = randomFor(seed, 'disk');
    this.network = new Network({
      schedule: this.schedule,
      random: randomFor(seed, 'network'),
      usualMs: options.networkDelayMs,
      usesWire: options.usesWire,
      tally: this.tally,
    });
    // What rots lies in the last whole extent, beyond what clients use.
    const coldExtent = options.rotEveryMs > 0 ? extentCount(options.sizeBytes) : null;
    this.layout = new Layout({ ...options, coldExtent });
    this.clients = new Linearizable(this.layout.pieces);
    this.#registers = placedRegisters(this.clients, this.layout);
    const clockRandom = randomFor(seed, 'clock');
    for (let index = 0; index < options.nodes; index++) {
      const node = `node-${'abcdef'[index]}`;
      const rate = 1 + between(clockRandom, -options.clockDrift, options.clockDrift);
      this.#machines.set(node, new Machine(node, clockRandom.below(1_000_000), rate));
    }
    this.register = new ConfigRegister({
      schedule: this.schedule,
      random: randomFor(seed, 'register'),
      usualMs: options.registerDelayMs,
      faults: options.registerFaults,
      tally: this.tally,
      config: this.#firstConfig(),
      changed: (before, after) => {
        this.monotone.configChanged(before, after);
        checkEnoughInSync(before, after);
        if (after.lossAt !== before.lossAt) this.#lossTold(after);
        this.#check();
      },
    });
    this.leader = new SimulatedLeader(this, randomFor(seed, 'leader'), this.nodes()[0] ?? '');
    for (const node of this.nodes()) this.start(node);
    const workload = randomFor(seed, 'workload');
    this.#clients = Array.from({ length: options.clients }, (_, index) => new SimulatedClient(this, index, workload));
    this.snapshotChecker = new SnapshotChecker(this.clients);
    this.snapshots = new SimulatedSnapshots(this, randomFor(seed, 'snapshots'), this.snapshotChecker);
    this.rot = coldExtent === null ? null : new Rot(this, randomFor(seed, 'rot'), coldExtent);
    this.faults = new Faults(this, randomFor(seed, 'faults'));
  }

  // Machines.

  nodes(): NodeName[] {
    return [...this.#machines.keys()];
  }

  bootId(node: NodeName): string {
    return this.#machine(node).bootId;
  }

  isRunning(node: NodeName): boolean {
    return this.#machine(node).process !== null;
  }

  /** The instance on the node, as far as its lease tells. */
  runningInstance(node: NodeName): InstanceId | null {
    const { process } = this.#machine(node);
    return process && !process.isStopping && this.register.hasLease(process.instance) ? process.instance : null;
  }

  servingOn(node: NodeName): Serving | null {
    return this.#machine(node).process?.serving ?? null;
  }

  start(node: NodeName): void {
    const machine = this.#machine(node);
    if (machine.process) return;
    machine.isOn = true;
    const process: AgentProcess = new AgentProcess(this, node, instanceId(this.#random.hex(8)), {
      monotonicMs: () => machine.clockOffsetMs + this.schedule.nowMs * machine.clockRate,
      wallMs: () => this.schedule.nowMs + machine.wallOffsetMs,
    });
    machine.process = process;
    this.schedule.trace(`${node} starts as ${process.instance.slice(-3)}`);
    for (const [replica, files] of machine.replicas) process.open(replica, files, machine.bootId);
    this.network.started(process);
    this.register.signOfLife(node, process.instance);
    this.register.watch(process);
  }

  crash(node: NodeName): void {
    this.#stop(node, false);
    this.schedule.trace(`${node} crashed`);
  }

  losePower(node: NodeName): void {
    const machine = this.#machine(node);
    this.#stop(node, true);
    machine.isOn = false;
    machine.boot++;
    for (const files of machine.replicas.values()) {
      const torn = files.powerLost(this.#diskRandom, this.options.tears);
      for (let count = 0; count < torn; count++) this.tally.count('torn block');
    }
    this.schedule.trace(`${node} lost power`);
    this.#check();
  }

  pause(node: NodeName): void {
    this.#machine(node).process?.pause();
    this.schedule.trace(`${node} paused`);
  }

  resume(node: NodeName): void {
    this.#machine(node).process?.resume();
    this.schedule.trace(`${node} goes on`);
  }

  /** What people's clocks show: nothing may depend on it. */
  jumpWallClock(node: NodeName, byMs: number): void {
    this.#machine(node).wallOffsetMs += byMs;
  }

  setFull(node: NodeName, isFull: boolean): void {
    const machine = this.#machine(node);
    if (machine.isFull !== isFull) this.schedule.trace(`${node} ${isFull ? 'has no space' : 'has space again'}`);
    machine.isFull = isFull;
  }

  changeSettings(settings: Settings): void {
    this.settings = settings;
    this.schedule.trace(`settings: leases of ${settings.leaseMs} ms, silence of ${settings.replicaTimeoutMs} ms`);
    for (const { process } of this.#machines.values()) {
      if (process) this.schedule.after(between(this.#random, 0, 2_000), 'settings', () => process.settingsSeen(settings));
    }
  }

  shutDown(node: NodeName): void {
    const { process } = this.#machine(node);
    this.schedule.trace(`${node} shuts down`);
    process?.shutDown(() => {
      if (this.#machine(node).process === process) this.crash(node);
    });
  }

  /** Empty, durable, and not a member yet. */
  createReplica(node: NodeName, shard: number): ReplicaId {
    const machine = this.#machine(node);
    const replica = replicaId((++this.#ids).toString(16).padStart(16, '0'));
    const sizeBytes = shardSizes(this.register?.config.sizeBytes ?? this.#firstSizeBytes, this.options.shards)[shard] ?? 0;
    const made = { volume: UID, volumeName: 'volume', replica, sizeBytes };
    const files = this.options.usesDisks ? new DiskFiles(made, shard) : new Platter(newMeta(made), shard);
    machine.replicas.set(replica, files);
    machine.process?.open(replica, files, machine.bootId);
    return replica;
  }

  storeTiming(process: AgentProcess): StoreTiming {
    const { diskDelayMs, completesAtOnce, failingFlush } = this.options;
    return {
      random: this.#diskRandom,
      later: (delayMs, label, act) => process.later(delayMs, label, act),
      usualMs: diskDelayMs,
      completesAtOnce,
      isFull: () => this.#machine(process.node).isFull,
      flushFails: () => {
        const fails = this.#maySpare() && this.#diskRandom.chance(failingFlush);
        if (fails) this.#failures++;
        return fails;
      },
    };
  }

  /** What the processes draw from when they go on, and ask again. */
  get resumption(): { schedule: Schedule; random: ReturnType<typeof randomFor> } {
    return { schedule: this.schedule, random: this.#random };
  }

  // What processes tell.

  started(serving: Serving): void {
    this.#servings.add(serving);
  }

  /** By what stands in etcd: the primary may know less, but not of its own loss, nor of an attachment that was made anew. */
  socketOpened(serving: Serving): void {
    // A zombie's may open; no answer leaves it.
    if (serving.epoch === this.register.config.epoch) checkLossSeen(this.register.config);
  }

  socketClosed(serving: Serving): void {
    for (const client of this.#clients) client.detached(serving);
  }

  ended(serving: Serving, _why: string): void {
    this.#servings.delete(serving);
    for (const client of this.#clients) client.detached(serving);
  }

  replicaFailed(replica: ReplicaId, reason: string): void {
    if (!this.failed.has(replica)) this.schedule.trace(`${replica} failed: ${reason}`);
    this.failed.add(replica);
  }

  protocolError(text: string): void {
    throw new Violation('contract', `the primary breaks the protocol: ${text}`);
  }

  /** Once for every event of a process: has an epoch begun, does everything still hold? */
  afterEventOf(process: AgentProcess): void {
    const { serving } = process;
    if (serving && serving.primary.phase === 'ready') this.#begun(serving);
    for (const files of this.#machine(process.node).replicas.values()) files.pump();
    if (serving) checkBounded(serving, this.options.clients * this.options.depth * 4 * this.options.shards);
    this.#check();
  }

  // Clients.

  nextId(): number {
    return this.#nextId++;
  }

  openSockets(): Serving[] {
    return [...this.#servings].filter((serving) => serving.isOpen);
  }

  clientsOfVolume(): readonly SimulatedClient[] {
    return this.#clients;
  }

  /** All that is in sync has failed: only a person can help. */
  get isBeyondHelp(): boolean {
    return this.register.config.shards.some(({ inSync }) => inSync.every((replica) => this.failed.has(replica)));
  }

  #lossTold(config: VolumeConfig): void {
    checkLossTold(config, this.onePrimary.epochAnswered);
    this.clients.tellLoss();
    this.snapshotChecker.tellLoss();
  }

  /** A write was acknowledged to a client, in this event. */
  acknowledged(pieces: readonly number[], value: number): void {
    this.snapshotChecker.acknowledged(value);
    checkAcknowledged(this.scene(), pieces);
  }

  /** A client is told that size. */
  offered(sizeBytes: number): void {
    this.#offeredBytes = Math.max(this.#offeredBytes, sizeBytes);
  }

  /** What the checkers look at: every replica that is or was a member, as it stands on its disk. */
  scene(): Scene {
    const replicas = new Map<string, ReplicaView>();
    for (const machine of this.#machines.values()) {
      for (const [id, files] of machine.replicas) replicas.set(id, { id, files, isSuspect: machine.isSuspect(files) });
    }
    return {
      config: this.register.config,
      replicas,
      clients: this.clients,
      registers: this.#registers,
      coldExtentOf: (shard) => this.layout.coldExtentIn(shard),
    };
  }

  #machine(node: NodeName): Machine {
    const machine = this.#machines.get(node);
    if (!machine) throw new Error(`no machine ${node}`);
    return machine;
  }

  #stop(node: NodeName, isSilent: boolean): void {
    const machine = this.#machine(node);
    const { process } = machine;
    if (!process) return;
    machine.process = null;
    process.kill();
    this.register.unwatch(process);
    this.network.ended(process, isSilent);
    if (!isSilent) for (const files of machine.replicas.values()) files.killed(this.#diskRandom);
  }

  #maySpare(): boolean {
    return this.#failures < FAILURES_MAX && this.register.config.shards.every(({ inSync }) => inSync.length > 1);
  }

  #begun(serving: Serving): void {
    if (serving.hasBegun) return;
    serving.hasBegun = true;
    // A zombie that finds itself ready: what it answers is what matters.
    if (serving.epoch < this.onePrimary.epochBegun) return;
    this.onePrimary.begin(serving.epoch, serving.process.instance);
    this.schedule.trace(`epoch ${serving.epoch} begins on ${serving.process.node}`);
    this.clients.begin(serving.epoch, this.register.config.lossAt === serving.epoch);
  }

  #check(): void {
    const scene = this.scene();
    checkInSync(scene);
    checkLargeEnough(scene, this.#offeredBytes);
    this.rot?.check();
    checkFlushed(scene);
    checkCovers(scene);
    this.monotone.check(scene.replicas.values());
  }

  get #firstSizeBytes(): number {
    return this.options.rotEveryMs > 0 ? this.options.maxSizeBytes : this.options.sizeBytes;
  }

  #firstConfig(): VolumeConfig {
    const nodes = this.nodes();
    // Each shard begins on another node, so that none has all of them.
    const shards = Array.from({ length: this.options.shards }, (_, shard) => {
      const places = Array.from({ length: this.options.replicas }, (__, index) => nodes[(shard + index) % nodes.length] ?? '');
      const members = places.map((node) => ({ replica: this.createReplica(node, shard), node, pool: 'pool' }));
      return { members, inSync: members.map((member) => member.replica) };
    });
    return {
      uid: UID,
      name: 'volume',
      sizeBytes: this.#firstSizeBytes,
      minInSync: this.options.minInSync,
      epoch: 0,
      version: 1,
      primary: null,
      shards,
    };
  }
}
