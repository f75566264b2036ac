/**
 * A cluster on this machine: etcd, kube-apiserver, operators and agents as ordinary processes, all of it in one directory. `make up`, the tests, the
 * demo and the benchmarks start the same through `startCluster`, several at a time, each in its own directory on its own ports.
 *
 * Level-based: what should run is compared with what does, so starting a cluster that runs mends it, and a crash in the middle is mended by
 * starting again.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { TlsFiles } from '../../edge/tls.ts';
import { openAccounts } from './accounts.ts';
import { applyApi, definitionFiles, waitForStorageNodes } from './api.ts';
import { LocalClusterError } from './errors.ts';
import { type Guard, guardCluster } from './guard.ts';
import { answersOk } from './https.ts';
import { Identities } from './identities.ts';
import { type Kubectl, kubectlFor, writeKubeconfig } from './kubectl.ts';
import { agentLaunch, apiServerLaunch, etcdLaunch, holderLaunch, type NodeOptions, operatorLaunch } from './launches.ts';
import * as layout from './layout.ts';
import { ADDRESS, findFreePort } from './ports.ts';
import { type Launch, LocalProcess } from './processes.ts';
import { findPrograms, type Programs } from './programs.ts';
import { type OnProgress, step } from './progress.ts';
import { type ClusterRecord, readRecord, writeRecord } from './record.ts';
import { lockCluster, stopCluster, stopLocked } from './stop.ts';
import { waitFor } from './wait.ts';

export type ClusterOptions = {
  /** Absolute. What is in it belongs to the cluster and goes with it. */
  directory: string;
  /** At least as many as this; what was started before stays. */
  nodes: number;
  operators: number;
  /** Of etcd; left out: one. For a cluster that exists already, as many as it has. */
  etcdMembers?: number;
  /** The API server has an etcd of its own, as in most clusters of Kubernetes; left out: it shares that of Holdfast. */
  hasApiServerEtcd?: boolean;
  /** Each name may do in Holdfast's etcd what it needs, and no more; left out: whoever has a certificate may do everything. */
  hasEtcdAccounts?: boolean;
  /** For Holdfast's etcd, beyond the usual. */
  etcdFlags?: readonly string[];
  nodeOptions?: (node: string) => NodeOptions;
  operatorEnvironment?: Record<string, string>;
  /** Where an operator dials what is at `url`; left out: there. For tests that put something between them. */
  operatorRoute?: (operator: string, dialled: 'etcd' | 'apiserver', url: string) => Promise<string>;
  /** Where the sources of operators and agents are, asked anew at each start; left out: in this checkout. */
  sources?: string | ((process: layout.ProcessName) => string);
  /** Each node has an attach holder, so that its agent answers CSI whole; needs root and FUSE. */
  holders?: boolean;
  onProgress?: OnProgress;
  /** Once aborted, nothing more is started. */
  signal?: AbortSignal;
  /** Told of each process that had to be started. */
  onStarted?: (process: LocalProcess) => void;
  /** The cluster outlives this program. Otherwise it ends with it, however it ends, and its directory is removed. */
  keepRunning?: boolean;
};

/** How to reach the etcd of a cluster as one of Holdfast's programs. */
export type EtcdConnection = { endpoints: string[]; tls: TlsFiles };

const READY_BOUND_MS = 60_000;

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const release = lockCluster(options.directory);
  const guard = options.keepRunning ? undefined : guardCluster(options.directory);
  try {
    const programs = await findPrograms(options.onProgress ?? (() => undefined));
    const cluster = new Cluster(options, programs, await Identities.open(options.directory), guard);
    await cluster.grow(options.nodes, options.operators);
    return cluster;
  } catch (error) {
    if (guard !== undefined) {
      await stopLocked(options.directory);
      guard.dismiss();
    }
    throw error;
  } finally {
    release();
  }
}

export class Cluster {
  readonly directory: string;
  /** The administrator's. */
  readonly kubeconfig: string;
  readonly kubectl: Kubectl;
  readonly versions: Programs['versions'];
  readonly #options: ClusterOptions;
  readonly #programs: Programs;
  readonly #identities: Identities;
  readonly #guard: Guard | undefined;
  readonly #record: ClusterRecord;
  readonly #processes = new Map<layout.ProcessName, LocalProcess>();
  #administrator: TlsFiles | undefined;

  constructor(options: ClusterOptions, programs: Programs, identities: Identities, guard: Guard | undefined) {
    this.directory = options.directory;
    this.kubeconfig = path.join(options.directory, 'kubeconfig');
    this.kubectl = kubectlFor(programs.kubectl, this.kubeconfig);
    this.versions = programs.versions;
    this.#options = options;
    this.#programs = programs;
    this.#identities = identities;
    this.#guard = guard;
    this.#record = readRecord(options.directory);
  }

  get nodes(): string[] {
    return layout.nodeNames(this.#record.nodes);
  }

  get etcdMembers(): layout.ProcessName[] {
    const all = Array.from({ length: layout.ETCD_MEMBERS_MAX }, (_, member) => layout.etcdProcess(member));
    const known = all.filter((name) => this.#record.ports[`${name}/client`] !== undefined);
    return known.length > 0 ? known : all.slice(0, this.#options.etcdMembers ?? 1);
  }

  get operators(): string[] {
    return layout.operatorNames(this.#record.operators);
  }

  get etcd(): EtcdConnection {
    return { endpoints: this.#etcdEndpoints(), tls: this.administrator };
  }

  /** A client certificate that etcd, agents and operators accept. */
  get administrator(): TlsFiles {
    if (this.#administrator === undefined) {
      throw new Error('the cluster was not started');
    }
    return this.#administrator;
  }

  get processes(): LocalProcess[] {
    return [...this.#processes.values()];
  }

  process(name: layout.ProcessName): LocalProcess {
    const process = this.#processes.get(name);
    if (process === undefined) {
      throw new LocalClusterError(`There is no process ${name} in this cluster, only ${[...this.#processes.keys()].join(', ')}.`);
    }
    return process;
  }

  /** Where a process serves /metrics and /readyz, such as `https://127.0.0.1:20001`. */
  url(name: layout.ProcessName): string {
    return this.#urlOf(name, 'http');
  }

  /** Where an operator serves the REST API. */
  apiUrl(operator: string): string {
    return this.#urlOf(layout.operatorProcess(operator), 'api');
  }

  /** A token of the local cluster's service account that may do everything with the API group; good for an hour. */
  token(): Promise<string> {
    return this.kubectl(['create', 'token', layout.SERVICE_ACCOUNT, '--namespace', layout.NAMESPACE]).then((text) => text.trim());
  }

  #urlOf(name: layout.ProcessName, use: 'http' | 'api'): string {
    const port = this.#record.ports[`${name}/${use}`];
    if (port === undefined) {
      throw new LocalClusterError(`${name} was not started in this cluster.`);
    }
    return `https://${ADDRESS}:${port}`;
  }

  /** Where a process answers CSI: an operator as the controller, an agent as the node. */
  csiSocket(name: layout.ProcessName): string {
    return layout.csiSocket(this.directory, name);
  }

  /** Where a volume's NBD socket is while the node serves it. */
  socket(node: string, volume: string): string {
    return path.join(layout.runDirectory(this.directory, node), `${volume}.sock`);
  }

  /** Starts what should run and does not, and waits until all of it is ready. */
  async grow(nodes: number, operators: number): Promise<void> {
    this.#record.nodes = Math.max(this.#record.nodes, nodes);
    this.#record.operators = Math.max(this.#record.operators, operators);
    if (this.#record.nodes > layout.NODES_MAX || this.#record.operators > layout.OPERATORS_MAX) {
      throw new LocalClusterError(`A local cluster has at most ${layout.NODES_MAX} nodes and ${layout.OPERATORS_MAX} operators.`);
    }
    layout.checkSocketPaths(this.directory, this.nodes);
    this.#administrator = await this.#identities.administrator();
    await this.#startEtcd();
    await this.#startApiServer();
    await this.#step('API', 'namespace, roles, kinds of holdfast.dev', () => applyApi(this.kubectl, definitionFiles()));
    await this.#startPrograms();
    // Again: the leader has said by now which schema is in force, and it takes from agents what they need not have under it.
    if (this.#options.hasEtcdAccounts) await openAccounts(this.#etcdEndpoints()[0] ?? '', this.administrator);
  }

  /** Ends an operator or an agent and starts it as the options say now; it may not be ready yet. */
  async replace(name: layout.ProcessName): Promise<void> {
    await this.process(name).stop();
    if (this.operators.map(layout.operatorProcess).includes(name)) await this.#startOperator(name);
    else await this.#startAgent(name);
  }

  /** Until the process answers that it is ready; it has failed as soon as it is gone. */
  async waitUntilReady(name: layout.ProcessName, boundMs = READY_BOUND_MS): Promise<void> {
    await this.#waitUntilAnswers(this.process(name), `${this.url(name)}/readyz`, this.administrator, boundMs);
  }

  /** Ends all processes and removes the directory. */
  async stop(): Promise<void> {
    await stopCluster(this.directory);
    this.#guard?.dismiss();
  }

  async #startEtcd(): Promise<void> {
    await this.#step('etcd', this.versions.etcd, async () => {
      await this.#startMembers(this.etcdMembers, this.#options.etcdFlags ?? []);
      if (this.#options.hasApiServerEtcd) await this.#startMembers([layout.API_SERVER_ETCD], []);
      if (this.#options.hasEtcdAccounts) await openAccounts(this.#etcdEndpoints()[0] ?? '', this.administrator);
    });
  }

  async #startMembers(members: readonly layout.ProcessName[], flags: readonly string[]): Promise<void> {
    const [program, credentials] = [this.#programs.etcd, await this.#identities.etcd()];
    const peers = new Map<layout.ProcessName, number>();
    for (const name of members) peers.set(name, await this.#port(name, 'peer'));
    for (const name of members) {
      const parts = { program, process: name, directory: path.join(this.directory, name), peers, credentials, flags };
      this.#start(name, etcdLaunch({ ...parts, clientPort: await this.#port(name, 'client') }));
    }
    // None of several is ready before most of them run.
    for (const name of members) await this.#waitUntilAnswers(this.process(name), `${this.#etcdEndpoint(name)}/readyz`, this.administrator);
  }

  async #startApiServer(): Promise<void> {
    await this.#step('kube-apiserver', this.versions.kubernetes, async () => {
      const parts = {
        program: this.#programs.apiServer,
        directory: path.join(this.directory, layout.API_SERVER),
        etcdEndpoint: this.#options.hasApiServerEtcd ? this.#etcdEndpoint(layout.API_SERVER_ETCD) : this.#etcdEndpoints().join(','),
        serving: await this.#identities.apiServer(),
        etcd: await this.#identities.apiServerToEtcd(),
        tokenKeys: await this.#identities.tokenKeys(),
      };
      const server = this.#start(layout.API_SERVER, apiServerLaunch({ ...parts, port: await this.#port(layout.API_SERVER, 'https') }));
      const administrator = await this.#identities.administratorToApi();
      writeKubeconfig(this.kubeconfig, this.#apiServerUrl(), 'administrator', administrator);
      await this.#waitUntilAnswers(server, `${this.#apiServerUrl()}/readyz`, administrator);
    });
  }

  /** Operators and agents side by side: none needs another to start, only to become ready. */
  async #startPrograms(): Promise<void> {
    const operators = this.operators.map(layout.operatorProcess);
    const agents = this.nodes.map(layout.agentProcess);
    for (const name of operators) {
      await this.#startOperator(name);
    }
    for (const name of agents) {
      await this.#startAgent(name);
    }
    if (this.#options.holders) for (const node of this.nodes) this.#startHolder(layout.holderProcess(node));
    const untilReady = async (names: layout.ProcessName[]): Promise<void> => {
      await Promise.all(names.map((name) => this.waitUntilReady(name)));
    };
    if (operators.length > 0) {
      await this.#step('operators', this.operators.join(' '), () => untilReady(operators));
    }
    if (agents.length > 0) {
      await this.#step('agents', this.nodes.join(' '), () => untilReady(agents));
    }
    if (operators.length > 0 && agents.length > 0) {
      await this.#step('StorageNodes', 'Ready', () => waitForStorageNodes(this.kubectl, this.nodes));
    }
  }

  async #startOperator(name: layout.ProcessName): Promise<void> {
    const kubeconfig = path.join(this.directory, name, 'kubeconfig');
    const own = layout.lastPart(name);
    const route = this.#options.operatorRoute ?? (async (_operator, _dialled, url) => url);
    const apiServerUrl = await route(own, 'apiserver', this.#apiServerUrl());
    writeKubeconfig(kubeconfig, apiServerUrl, 'holdfast-operator', await this.#identities.operatorToApi(name));
    const environment = this.#options.operatorEnvironment;
    const apiPort = await this.#port(name, 'api');
    const parts = await this.#programParts(name);
    const endpoints = await Promise.all(this.#etcdEndpoints().map((url) => route(own, 'etcd', url)));
    const etcdEndpoint = endpoints.join(',');
    this.#start(name, operatorLaunch({ ...parts, etcdEndpoint, environment, kubeconfig, apiPort, csiSocket: this.csiSocket(name) }));
  }

  async #startAgent(name: layout.ProcessName): Promise<void> {
    const own = layout.lastPart(name);
    const node = this.#options.nodeOptions?.(own) ?? {};
    const pools = node.pools ?? [layout.DEFAULT_POOL];
    for (const directory of [
      layout.runDirectory(this.directory, own),
      ...pools.map((pool) => layout.poolDirectory(this.directory, own, pool)),
    ]) {
      mkdirSync(directory, { recursive: true });
    }
    const replicationPort = await this.#port(name, 'replication');
    const parts = { ...(await this.#programParts(name)), environment: node.environment };
    this.#start(name, agentLaunch({ ...parts, clusterDirectory: this.directory, replicationPort, pools, node }));
  }

  #startHolder(name: layout.ProcessName): void {
    mkdirSync(path.join(this.directory, name), { recursive: true });
    this.#start(name, holderLaunch({ process: name, clusterDirectory: this.directory, sources: this.#sourcesOf(name) }));
  }

  async #programParts(process: layout.ProcessName) {
    const credentials = await this.#identities.program(process);
    const sources = this.#sourcesOf(process);
    return { process, httpPort: await this.#port(process, 'http'), etcdEndpoint: this.#etcdEndpoints().join(','), credentials, sources };
  }

  #sourcesOf(process: layout.ProcessName): string | undefined {
    const { sources } = this.#options;
    return typeof sources === 'function' ? sources(process) : sources;
  }

  #start(name: layout.ProcessName, launch: Launch): LocalProcess {
    this.#options.signal?.throwIfAborted();
    const process = new LocalProcess(this.directory, name, launch);
    this.#processes.set(name, process);
    if (process.start()) {
      this.#options.onStarted?.(process);
    }
    return process;
  }

  async #waitUntilAnswers(process: LocalProcess, url: string, credentials: TlsFiles, boundMs = READY_BOUND_MS): Promise<void> {
    try {
      await waitFor(`${process.name} ready`, boundMs, () => {
        this.#options.signal?.throwIfAborted();
        if (process.pid === undefined) {
          throw new LocalClusterError(`${process.name} ended by itself: see above.`);
        }
        return answersOk(url, credentials);
      });
    } catch (error) {
      if (error instanceof LocalClusterError) {
        throw new LocalClusterError(error.message, { cause: error, details: process.logTail() });
      }
      throw error;
    }
  }

  /** The port of a process for one of its uses: that of last time, or a free one from now on. */
  async #port(name: layout.ProcessName, use: string): Promise<number> {
    const key = `${name}/${use}`;
    const known = this.#record.ports[key];
    if (known !== undefined) {
      return known;
    }
    const port = await findFreePort(new Set(Object.values(this.#record.ports)));
    this.#record.ports[key] = port;
    writeRecord(this.directory, this.#record);
    return port;
  }

  #etcdEndpoints(): string[] {
    return this.etcdMembers.map((name) => this.#etcdEndpoint(name));
  }

  #etcdEndpoint(member: layout.ProcessName): string {
    return `https://${ADDRESS}:${this.#record.ports[`${member}/client`]}`;
  }

  #apiServerUrl(): string {
    return `https://${ADDRESS}:${this.#record.ports[`${layout.API_SERVER}/https`]}`;
  }

  #step<T>(name: string, detail: string, work: () => Promise<T>): Promise<T> {
    return step(this.#options.onProgress ?? (() => undefined), name, detail, work);
  }
}
