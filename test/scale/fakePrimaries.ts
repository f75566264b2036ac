/**
 * A worker of primaries without data, behind the port through which an agent's control speaks to one: of each config it proposes what a primary would whose replicas
 * catch up in a moment and whose connections to nodes that are gone break at once. Must never propose twice on one version, nor go on under another's epoch.
 */
import type { Channel } from '../../agent/workers/channel.ts';
import { type FromPrimary, keyText, type PrimaryKey, type ToPrimary } from '../../agent/workers/messages.ts';
import { outOfSync, type Shard, type VolumeConfig, withInSyncSets } from '../../core/config.ts';
import type { InstanceId, NodeName, ReplicaId } from '../../core/ids.ts';
import type { ReplicaProgress, ServingReport } from '../../core/machine.ts';

export type FakePrimariesOptions = {
  node: NodeName;
  instance: InstanceId;
  /** How long a learner takes: a whole resync of nothing. */
  learnMs: number;
  /** Nodes to which no connection stands, as every agent would find by itself. */
  lost: ReadonlySet<NodeName>;
};

type Running = {
  readonly key: PrimaryKey;
  readonly sinceMs: number;
  config: VolumeConfig;
  /** Learners that miss nothing any more. */
  readonly learned: Set<ReplicaId>;
  learning: NodeJS.Timeout | null;
  proposedOn: number;
  mustLetGo: boolean;
  told: string;
};

/** As a primary would have the set: who learned is in, who leaves or is gone is out, as far as there stay enough. */
export function wantedInSync(shard: Shard, minInSync: number, learned: ReadonlySet<ReplicaId>, lost: ReadonlySet<NodeName>): ReplicaId[] {
  const isGone = (replica: ReplicaId): boolean => {
    const member = shard.members.find((one) => one.replica === replica);
    return member === undefined || member.leaving === true || lost.has(member.node);
  };
  const joining = outOfSync(shard).filter(({ replica, node }) => learned.has(replica) && !lost.has(node));
  const wanted = [...shard.inSync, ...joining.map(({ replica }) => replica)];
  for (const replica of shard.inSync) {
    if (wanted.length <= minInSync) break;
    if (isGone(replica)) wanted.splice(wanted.indexOf(replica), 1);
  }
  return wanted;
}

const isSameSet = (a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean => a.length === b.length && a.every((one) => b.includes(one));

export class FakePrimaries implements Channel<ToPrimary, FromPrimary> {
  readonly #options: FakePrimariesOptions;
  readonly #running = new Map<string, Running>();
  #listener: (message: FromPrimary) => void = () => undefined;

  constructor(options: FakePrimariesOptions) {
    this.#options = options;
  }

  listen(listener: (message: FromPrimary) => void): void {
    this.#listener = listener;
  }

  post(message: ToPrimary): void {
    switch (message.type) {
      case 'ping':
        return this.#say({ type: 'pong', id: message.id });
      case 'start':
        return this.#start(message.config);
      case 'observe':
        return this.#observe(this.#running.get(keyText(message)), message.config);
      case 'letGo':
        return this.#letGo(this.#running.get(keyText(message)));
      case 'stop':
        return this.#end(this.#running.get(keyText(message)), 'lost');
      case 'snapshot':
        return this.#say({ type: 'snapshotEnded', id: message.id, outcome: { problem: 'no data is kept here' } });
      case 'settings':
      case 'address':
        return;
    }
  }

  /** Connections to some nodes have broken, or can be made again. */
  connectionsChanged(): void {
    for (const running of this.#running.values()) this.#step(running);
  }

  /** The process is gone: nothing is said any more. */
  close(): void {
    for (const { learning } of this.#running.values()) if (learning !== null) clearTimeout(learning);
    this.#running.clear();
    this.#listener = () => undefined;
  }

  #start(config: VolumeConfig): void {
    const key = { uid: config.uid, epoch: config.epoch };
    const fresh = { learned: new Set<ReplicaId>(), learning: null, proposedOn: -1, mustLetGo: false, told: '' };
    const running: Running = { key, config, sinceMs: Date.now(), ...fresh };
    this.#running.set(keyText(key), running);
    this.#step(running);
  }

  #observe(running: Running | undefined, config: VolumeConfig): void {
    if (!running) return;
    const { node, instance } = this.#options;
    const { epoch, primary } = config;
    if (epoch === running.key.epoch && primary?.node === node && primary.instance === instance) {
      running.config = config;
      return this.#step(running);
    }
    this.#end(running, epoch === running.key.epoch && primary === null ? 'released' : 'fenced');
  }

  #letGo(running: Running | undefined): void {
    if (!running) return;
    running.mustLetGo = true;
    this.#step(running);
  }

  #end(running: Running | undefined, why: 'released' | 'fenced' | 'lost'): void {
    if (!running) return;
    if (running.learning !== null) clearTimeout(running.learning);
    this.#running.delete(keyText(running.key));
    this.#say({ type: 'ended', ...running.key, why, reason: why });
    this.#say({ type: 'over', ...running.key });
  }

  #step(running: Running): void {
    this.#report(running);
    this.#learn(running);
    const { config } = running;
    if (config.version <= running.proposedOn) return;
    const next = this.#next(running);
    if (next === null) return;
    running.proposedOn = config.version;
    this.#say({ type: 'propose', ...running.key, known: config, next });
  }

  #next({ config, learned, mustLetGo }: Running): VolumeConfig | null {
    const { minInSync, shards, version, primary } = config;
    const released: VolumeConfig = { ...config, version: version + 1, primary: null };
    if (mustLetGo || primary?.mode === 'release') return released;
    const wanted = new Map<number, ReplicaId[]>();
    for (const [index, shard] of shards.entries()) {
      const inSync = wantedInSync(shard, minInSync, learned, this.#options.lost);
      if (!isSameSet(inSync, shard.inSync)) wanted.set(index, inSync);
    }
    if (wanted.size > 0) return withInSyncSets(config, wanted);
    return primary?.mode === 'background' && this.#learners(config).length === 0 ? released : null;
  }

  #learners({ shards }: VolumeConfig): ReplicaId[] {
    const within = shards.flatMap((shard) => outOfSync(shard).filter(({ node }) => !this.#options.lost.has(node)));
    return within.map(({ replica }) => replica);
  }

  #learn(running: Running): void {
    const learners = this.#learners(running.config).filter((replica) => !running.learned.has(replica));
    if (learners.length === 0 || running.learning !== null) return;
    running.learning = setTimeout(() => {
      running.learning = null;
      for (const replica of learners) running.learned.add(replica);
      this.#step(running);
    }, this.#options.learnMs);
  }

  #report(running: Running): void {
    const { config, key, sinceMs } = running;
    const { node, instance } = this.#options;
    const isServed = config.primary?.mode !== 'background';
    const report: ServingReport = {
      uid: key.uid,
      node,
      instance,
      epoch: key.epoch,
      state: isServed ? 'serving' : 'background',
      socket: isServed ? `/run/holdfast/${config.name}.sock` : null,
      sinceMs,
      sizeBytes: config.sizeBytes,
      replicas: config.shards.flatMap((shard) => shard.members.map(({ replica, node: there }) => this.#progress(shard, replica, there))),
    };
    const text = JSON.stringify(report);
    if (text === running.told) return;
    running.told = text;
    this.#say({ type: 'report', ...key, report });
  }

  #progress(shard: Shard, replica: ReplicaId, node: NodeName): ReplicaProgress {
    const learner = this.#options.lost.has(node) ? 'out' : 'learner';
    return { replica, state: shard.inSync.includes(replica) ? 'inSync' : learner, doneBytes: 0, totalBytes: 0, bytesPerSecond: 0 };
  }

  /** Never from within `post`, as between threads. */
  #say(message: FromPrimary): void {
    setImmediate(() => this.#listener(message));
  }
}
