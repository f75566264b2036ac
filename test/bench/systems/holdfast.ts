/**
 * Holdfast: three real agents and an etcd, and a volume with a replica on each, served on the first. The operator and the API server take no part in I/O and
 * are not there; what little they would do once is done by the tests' stand-in. With and without TLS it is the same volume, served in turns.
 */
import type { VolumeConfig } from '../../../core/config.ts';
import { type AgentProcess, Agents, LeaderStandIn } from '../../support/agents.ts';
import { until } from '../../support/until.ts';
import { nbdTarget } from '../fio.ts';
import type { Running, System } from './system.ts';

export const NODES = ['node-a', 'node-b', 'node-c'];
/** The name of its volume, and so of its export. */
export const VOLUME = 'bench';
const IN_SYNC_BOUND_MS = 60_000;

export class HoldfastCluster {
  readonly agents: Agents;
  readonly leader: LeaderStandIn;
  readonly #environment: Record<string, string>;
  #processes: AgentProcess[] = [];

  static async open(environment: Record<string, string>, host?: string): Promise<HoldfastCluster> {
    return new HoldfastCluster(await Agents.open(host), environment);
  }

  private constructor(agents: Agents, environment: Record<string, string>) {
    this.agents = agents;
    this.leader = new LeaderStandIn(agents);
    this.#environment = environment;
  }

  get pids(): number[] {
    return this.#processes.map(({ child }) => child.pid ?? 0);
  }

  process(node: string): AgentProcess {
    const found = this.#processes.find((process) => process.node === node);
    if (found === undefined) throw new Error(`no agent of ${node} runs`);
    return found;
  }

  async start(tls: 'on' | 'off', nodes = NODES): Promise<void> {
    for (const node of nodes) await this.startNode(node, tls);
  }

  async startNode(node: string, tls: 'on' | 'off'): Promise<AgentProcess> {
    const process = await this.agents.start(node, {
      ...this.#environment,
      REPLICATION_TLS: tls,
      LOG_LEVEL: 'warn',
      SPOIL_FREED_MEMORY: 'off',
    });
    this.#processes = [...this.#processes.filter((other) => other.node !== node), process];
    return process;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.kill('SIGTERM')));
    this.#processes = [];
  }

  /** Served on the first node, with all its members in sync. */
  async serve(config: VolumeConfig): Promise<string> {
    await this.leader.promote(config.uid, NODES[0] ?? '');
    const socketPath = await this.leader.served(config.uid);
    await this.untilInSync(config, config.shards.flatMap(({ members }) => members).length);
    return socketPath;
  }

  async untilInSync(config: VolumeConfig, replicas: number, boundMs = IN_SYNC_BOUND_MS): Promise<void> {
    const inSync = async () => (await this.leader.config(config.uid)).shards.flatMap((shard) => shard.inSync).length;
    await until(`${replicas} replicas of ${config.name} are in sync`, async () => (await inSync()) === replicas, boundMs);
  }

  async remove(): Promise<void> {
    await this.agents.remove();
  }
}

/** One cluster and one volume for the two ways to run it. */
export class HoldfastVolume {
  readonly #sizeBytes: number;
  readonly #environment: Record<string, string>;
  #cluster: HoldfastCluster | null = null;
  #config: VolumeConfig | null = null;

  constructor(sizeBytes: number, environment: Record<string, string>) {
    this.#sizeBytes = sizeBytes;
    this.#environment = environment;
  }

  async start(tls: 'on' | 'off'): Promise<Running> {
    this.#cluster ??= await HoldfastCluster.open(this.#environment);
    const cluster = this.#cluster;
    await cluster.start(tls);
    this.#config ??= await cluster.leader.createVolume(VOLUME, NODES, this.#sizeBytes);
    const socketPath = await cluster.serve(this.#config);
    return { target: nbdTarget(socketPath), socketPath, pids: cluster.pids, countsClient: false };
  }

  async stop(): Promise<void> {
    await this.#cluster?.stop();
  }

  async remove(): Promise<void> {
    await this.#cluster?.remove();
    this.#cluster = null;
  }
}

export class Holdfast implements System {
  readonly name: 'holdfast' | 'holdfast-tls';
  readonly version: string;
  readonly #volume: HoldfastVolume;

  constructor(name: 'holdfast' | 'holdfast-tls', volume: HoldfastVolume, version: string) {
    this.name = name;
    this.version = version;
    this.#volume = volume;
  }

  start(): Promise<Running> {
    return this.#volume.start(this.name === 'holdfast-tls' ? 'on' : 'off');
  }

  stop(): Promise<void> {
    return this.#volume.stop();
  }

  remove(): Promise<void> {
    return this.#volume.remove();
  }
}
