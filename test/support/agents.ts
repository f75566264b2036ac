/**
 * Real agent processes around a real etcd, with certificates of an authority of their own, and a stand-in for the leader: enough of it to file tasks
 * and to promote. Leaves nothing behind: `remove` ends every process and the directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { nodesOf, type PrimaryMode, type Shard, type VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import { newReplicaId, type ReplicaId, type VolumeUid, volumeUid } from '../../core/ids.ts';
import type { ConfigInForce } from '../../core/inForce.ts';
import { keysOf, taskIdOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { MachineState, ServingReport } from '../../core/machine.ts';
import { systemRandom } from '../../core/random.ts';
import { type Claim, fileTask, refileIfLost, type Task, type TaskSpec } from '../../core/task.ts';
import { SPOIL_FREED_MEMORY } from '../../core/wire/spoil.ts';
import { connectStore, type StoreConnection } from '../../edge/etcd/connect.ts';
import { type Certificates, loadCertificates, type TlsFiles } from '../../edge/tls.ts';
import { Authority } from '../../tools/local/certificates.ts';
import { configIn, leadersChange, SCHEMA_TEXT } from './configsInStore.ts';
import { type EtcdProcess, startSingleEtcd } from './etcd.ts';
import { until } from './until.ts';

const MAIN = path.resolve(import.meta.dirname, '../../agent/main.ts');
const LOOPBACK = '127.0.0.1';
export const keys = keysOf('test');

export class AgentProcess {
  readonly node: string;
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  stderr = '';
  /** Once it is registered. */
  httpAddress = '';
  /** Code or signal. */
  readonly ended: Promise<number | string>;

  constructor(node: string, child: ChildProcess) {
    this.node = node;
    this.child = child;
    let rest = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.lines.push(JSON.parse(line) as Record<string, unknown>);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | string> {
    if (this.isRunning) this.child.kill(signal);
    return this.ended;
  }

  said(message: string): boolean {
    return this.lines.some((line) => line.message === message);
  }
}

/** Where an agent runs: words before its program (which become it, in the end), and what its environment has instead. */
export type Place = { readonly words: readonly string[]; readonly environment: Readonly<Record<string, string>> };

export class Agents {
  readonly directory: string;
  readonly etcd: EtcdProcess;
  readonly connection: StoreConnection;
  readonly #host: string;
  readonly #authority: Authority;
  readonly #certificates: Certificates;
  readonly #operator: TlsFiles;
  readonly #processes: AgentProcess[] = [];
  readonly #places = new Map<string, Place>();

  private constructor(
    directory: string,
    host: string,
    authority: Authority,
    etcd: EtcdProcess,
    operator: TlsFiles,
    certificates: Certificates,
  ) {
    this.directory = directory;
    this.#host = host;
    this.etcd = etcd;
    this.#authority = authority;
    this.#operator = operator;
    this.#certificates = certificates;
    this.connection = connectStore({ endpoints: [etcd.url], certificates, leaseTtlSeconds: 30 }, silentLog);
  }

  /** `host`: where etcd and the agents are found; another than loopback only in a network namespace of the test's own. */
  static async open(host = LOOPBACK): Promise<Agents> {
    const directory = await mkdtemp(path.join(tmpdir(), 'hf-agents-'));
    const authority = await Authority.open(path.join(directory, 'ca'), 'holdfast test');
    const etcd = await startSingleEtcd(
      await authority.issue(path.join(directory, 'etcd'), { commonName: 'etcd-0', organizations: [] }, [host]),
      host,
    );
    const operator = await authority.issue(path.join(directory, 'op'), { commonName: 'operator:operator-0', organizations: [] }, [host]);
    const agents = new Agents(directory, host, authority, etcd, operator, await loadCertificates(operator, silentLog));
    await agents.store.commit([], [{ put: keys.schema, value: SCHEMA_TEXT }]);
    return agents;
  }

  /** From its next start on. */
  place(node: string, place: Place): void {
    this.#places.set(node, place);
  }

  get store() {
    return this.connection.store;
  }

  poolDirectory(node: string): string {
    return path.join(this.directory, node, 'pool');
  }

  runDirectory(node: string): string {
    return path.join(this.directory, node, 'run');
  }

  replicasOn(node: string): string[] {
    return readdirSync(path.join(this.poolDirectory(node), 'replicas'));
  }

  async environment(node: string): Promise<Record<string, string>> {
    const tls = await this.#authority.issue(path.join(this.directory, node, 'tls'), { commonName: `agent:${node}`, organizations: [] }, [
      this.#host,
    ]);
    mkdirSync(this.poolDirectory(node), { recursive: true });
    return {
      HOLDFAST_CLUSTER: 'test',
      NODE_NAME: node,
      POOLS: `default=${this.poolDirectory(node)}`,
      RUN_DIR: this.runDirectory(node),
      REPLICATION_LISTEN: `${this.#host}:0`,
      HTTP_LISTEN: `${this.#host}:0`,
      ETCD_ENDPOINTS: this.etcd.url,
      TLS_CA: tls.ca,
      TLS_CERT: tls.cert,
      TLS_KEY: tls.key,
      ...SPOIL_FREED_MEMORY,
    };
  }

  /** Not waited for. */
  async spawn(node: string, change: Record<string, string> = {}): Promise<AgentProcess> {
    const environment = { PATH: process.env.PATH, ...(await this.environment(node)), ...this.#places.get(node)?.environment, ...change };
    const place = this.#places.get(node);
    const [file = '', ...words] = [...(place?.words ?? []), process.execPath, MAIN];
    const agent = new AgentProcess(node, spawn(file, words, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] }));
    this.#processes.push(agent);
    return agent;
  }

  /** Until it is registered. */
  async start(node: string, change: Record<string, string> = {}): Promise<AgentProcess> {
    const before = (await this.machine(node))?.instance;
    const agent = await this.spawn(node, change);
    await until(
      `${node} registers: ${agent.stderr}`,
      async () => {
        if (!agent.isRunning) throw new Error(`${node} ended: ${agent.stderr} ${JSON.stringify(agent.lines.at(-1))}`);
        const machine = await this.machine(node);
        agent.httpAddress = machine?.addresses.http ?? '';
        return machine !== null && machine.instance !== before;
      },
      40_000,
    );
    return agent;
  }

  machine(node: string): Promise<MachineState | null> {
    return this.read(keys.machine(node));
  }

  async read<Value>(key: string): Promise<Value | null> {
    const entry = await this.store.get(key);
    return entry === null ? null : (JSON.parse(entry.value) as Value);
  }

  async put(key: string, value: unknown): Promise<void> {
    await this.store.commit([], [{ put: key, value: JSON.stringify(value) }]);
  }

  async get(agent: AgentProcess, route: string, withCertificate = true): Promise<{ status: number; body: string }> {
    const { ca, cert, key } = this.#certificates.material;
    const options = { ca, ...(withCertificate ? { cert, key } : {}), servername: 'agent', checkServerIdentity: () => undefined };
    return new Promise((resolve, reject) => {
      const asked = request(`https://${agent.httpAddress}${route}`, options, (answer) => {
        let body = '';
        answer.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  async remove(): Promise<void> {
    for (const agent of this.#processes) {
      if (agent.isRunning) agent.child.kill('SIGCONT');
      await agent.kill();
    }
    await this.connection.close();
    this.#certificates.close();
    await this.etcd.remove();
    await rm(this.directory, { recursive: true, force: true });
  }

  get operatorFiles(): TlsFiles {
    return this.#operator;
  }
}

/** As much of the leader as these tests need; each change is one transaction. */
export class LeaderStandIn {
  readonly #agents: Agents;

  constructor(agents: Agents) {
    this.#agents = agents;
  }

  async file(node: string, spec: TaskSpec): Promise<Task> {
    const id = taskIdOf(node, spec);
    const task = fileTask(id, node, spec, 1, '0af7651916cd43dd8448eb211c80319c');
    await this.#agents.put(keys.task(node, id), task);
    return task;
  }

  task(task: Task): Promise<Task | null> {
    return this.#agents.read(keys.task(task.node, task.id));
  }

  async ended(task: Task, boundMs = 40_000): Promise<Task> {
    return until(
      `task ${task.id} ends`,
      async () => {
        const stands = await this.task(task);
        return stands?.state === 'done' || stands?.state === 'failed' ? stands : null;
      },
      boundMs,
    );
  }

  /** Files again what nobody does any more. */
  async refile(task: Task): Promise<void> {
    const entry = await this.#agents.store.get(keys.task(task.node, task.id));
    const claim = await this.#agents.read<Claim>(keys.claim(task.id));
    const again = entry && refileIfLost(JSON.parse(entry.value) as Task, claim, 2);
    if (!entry || !again) return;
    const condition = { key: entry.key, is: 'revision' as const, revision: entry.revision };
    await this.#agents.store.commit([condition], [{ put: entry.key, value: JSON.stringify(again) }]);
  }

  /** Replicas on these nodes, made and in sync; nobody serves it yet. */
  createVolume(name: string, nodes: string[], sizeBytes: number, poolOf = (_node: string) => 'default'): Promise<VolumeConfig> {
    return this.createStriped(name, [nodes], sizeBytes, poolOf);
  }

  /** The same with several shards: the nodes of each. */
  async createStriped(name: string, nodes: string[][], sizeBytes: number, poolOf = (_node: string) => 'default'): Promise<VolumeConfig> {
    const uid = volumeUid(`uid-of-${name}`);
    const shards = nodes.map((ofShard): Shard => {
      const members = ofShard.map((node) => ({ replica: newReplicaId(systemRandom), node, pool: poolOf(node) }));
      return { members, inSync: [] };
    });
    const minInSync = Math.floor((nodes[0]?.length ?? 0) / 2) + 1;
    await this.#write({ uid, name, sizeBytes, minInSync, epoch: 0, version: 1, primary: null, shards }, null);
    for (const [index, { members }] of shards.entries()) {
      for (const { node, replica, pool } of members) {
        const bytes = shardBytes(sizeBytes, shards.length, index);
        const task = await this.file(node, { kind: 'create-replica', volume: uid, replica, pool, sizeBytes: bytes, volumeName: name });
        const ended = await this.ended(task);
        if (ended.state !== 'done') throw new Error(`task failed: ${ended.error}`);
      }
    }
    const made = shards.map(({ members }): Shard => ({ members, inSync: members.map(({ replica }) => replica) }));
    return this.change(uid, (known) => ({ ...known, shards: made }));
  }

  async promote(uid: VolumeUid, node: string, mode: PrimaryMode = 'serve'): Promise<VolumeConfig> {
    const machine = await this.#agents.machine(node);
    if (machine === null) throw new Error(`${node} is not registered`);
    return this.change(uid, (known) => ({ ...known, epoch: known.epoch + 1, primary: { node, instance: machine.instance, mode } }));
  }

  async config(uid: VolumeUid): Promise<VolumeConfig> {
    return (await this.#known(uid)).config;
  }

  report(uid: VolumeUid): Promise<ServingReport | null> {
    return this.#agents.read(keys.servingOf(uid));
  }

  /** The socket, once it is open in the config's epoch. */
  async served(uid: VolumeUid): Promise<string> {
    return until(
      `${uid} is served`,
      async () => {
        const [report, config] = [await this.report(uid), await this.config(uid)];
        return report?.epoch === config.epoch && report.state === 'serving' ? report.socket : null;
      },
      20_000,
    );
  }

  async #known(uid: VolumeUid): Promise<ConfigInForce> {
    const known = await configIn(this.#agents.store, keys, uid);
    if (known === null) throw new Error(`no config of ${uid}`);
    return known;
  }

  /** Tried until it is not overtaken by the primary. */
  async change(uid: VolumeUid, change: (known: VolumeConfig) => VolumeConfig): Promise<VolumeConfig> {
    return until(`${uid} is changed`, async () => {
      const known = await this.#known(uid);
      const next = { ...change(known.config), version: known.config.version + 1 };
      return (await this.#write(next, known)) ? next : null;
    });
  }

  async #write(next: VolumeConfig, known: ConfigInForce | null): Promise<boolean> {
    const before = known === null ? [] : [...nodesOf(known.config), ...nodesOf(known.leaders)];
    const nodes = nodesOf(next);
    const gone = new Set(before.filter((node) => !nodes.includes(node)));
    const { conditions, changes } = leadersChange(keys, known, next);
    const { committed } = await this.#agents.store.commit(conditions, [
      ...changes,
      ...nodes.map((node) => ({ put: keys.pointer(node, next.uid), value: String(next.version) })),
      ...[...gone].map((node) => ({ delete: keys.pointer(node, next.uid) })),
    ]);
    return committed;
  }
}

export const replicaOn = (config: VolumeConfig, node: string): ReplicaId => {
  const member = config.shards[0]?.members.find((one) => one.node === node);
  if (member === undefined) throw new Error(`no replica on ${node}`);
  return member.replica;
};
