/**
 * Puts the out-of-service taint on the Kubernetes Nodes of dead nodes, and takes it off when they are back (node/outOfService.ts says which). For a while after
 * the taint, what pods it left behind are removed (leftPods.ts). Beside the passes, one call at a time for a node. Each write compares the Node as it was read: a kubelet
 * that speaks again has changed it.
 */
import type { Clock } from '../../core/clock.ts';
import type { NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import {
  deadNodes,
  isIntended,
  isKubeletSilent,
  isTaintedByUs,
  type KubeNode,
  kubeNodePath,
  lifted,
  tainted,
} from '../node/outOfService.ts';
import type { Observed } from '../observe/observed.ts';
import type { KubeApi } from '../ports.ts';
import type { World } from '../volume/decision.ts';
import type { KubeWrites } from './kubeWrites.ts';
import { removeLeftPods } from './leftPods.ts';

/** How often a Node whose kubelet still speaks, or that is not there, is looked at again. */
const LOOK_INTERVAL_MS = 2_000;
/** Kubernetes tells the pods to go as soon as it sees the taint; what is told later its own garbage collector takes, every 20 s. */
const SWEEP_INTERVAL_MS = 1_000;
const SWEEP_FOR_MS = 60_000;

export type OutOfServicePorts = { api: KubeApi; writes: KubeWrites; clock: Clock; log: Log };

export class OutOfService {
  readonly #ports: OutOfServicePorts;
  readonly #lookedMs = new Map<NodeName, number>();
  /** Found dead for Kubernetes too: the condition is written, then the taint. */
  readonly #found = new Set<NodeName>();
  /** And when this leader saw to it. */
  readonly #taintedSinceMs = new Map<NodeName, number>();
  readonly #lifted = new Set<NodeName>();

  constructor(ports: OutOfServicePorts) {
    this.#ports = ports;
  }

  /** Looks, taints and lifts as far as there is reason to. Returns the nodes that people shall see as out of service. */
  update(observed: Observed, world: World): Set<NodeName> {
    const dead = new Set(deadNodes(observed, world));
    const shown = new Set<NodeName>();
    for (const [name, object] of observed.storageNodes) {
      const isRecorded = isIntended(object);
      if (isRecorded) this.#updateRecorded(name, dead.has(name), observed.machines.has(name));
      else if (dead.has(name)) this.#look(name);
      else this.#forget(name);
      if (isRecorded ? !this.#lifted.has(name) : this.#found.has(name)) shown.add(name);
    }
    return shown;
  }

  #updateRecorded(name: NodeName, isDead: boolean, isBack: boolean): void {
    if (isBack) this.#lift(name);
    else if (isDead && !this.#taintedSinceMs.has(name)) this.#taint(name);
    else if (isDead) this.#sweep(name);
  }

  #forget(name: NodeName): void {
    for (const known of [this.#lookedMs, this.#found, this.#taintedSinceMs, this.#lifted]) known.delete(name);
  }

  #isDue(name: NodeName, intervalMs: number): boolean {
    const nowMs = this.#ports.clock.monotonicMs();
    if (nowMs - (this.#lookedMs.get(name) ?? Number.NEGATIVE_INFINITY) < intervalMs) return false;
    this.#lookedMs.set(name, nowMs);
    return true;
  }

  #offer(name: NodeName, operation: string, work: (node: KubeNode | null) => Promise<void>): void {
    const { api, writes } = this.#ports;
    writes.offer(`nodes/${name}`, operation, async () => work(await api.get<KubeNode>(kubeNodePath(name))));
  }

  #look(name: NodeName): void {
    if (this.#found.has(name) || !this.#isDue(name, LOOK_INTERVAL_MS)) return;
    this.#offer(name, 'look whether the kubelet is silent', async (node) => {
      if (node !== null && isKubeletSilent(node)) this.#found.add(name);
    });
  }

  #taint(name: NodeName): void {
    const { api, clock, log } = this.#ports;
    this.#offer(name, 'taint the node out-of-service', async (node) => {
      // Its kubelet spoke since: as long as it does, nothing is torn from it.
      if (node === null || !isKubeletSilent(node)) return;
      const body = tainted(node, new Date(clock.wallMs()).toISOString());
      // A crash after it: the condition stands, and whoever leads lifts it when the agent is back.
      if (body !== null) await api.replace(kubeNodePath(name), body);
      this.#taintedSinceMs.set(name, clock.monotonicMs());
      this.#lifted.delete(name);
      log.warn('a dead node is tainted out-of-service', { node: name, isNew: body !== null });
    });
  }

  /** Until the garbage collector of Kubernetes has looked a few times itself: what is left then is not ours to judge. */
  #sweep(name: NodeName): void {
    const { api, writes, clock, log } = this.#ports;
    const sinceMs = this.#taintedSinceMs.get(name);
    if (sinceMs === undefined || clock.monotonicMs() - sinceMs > SWEEP_FOR_MS || !this.#isDue(name, SWEEP_INTERVAL_MS)) return;
    // A name of its own: where this is refused, the taint is lifted all the same.
    writes.offer(`nodes/${name}/pods`, 'remove the pods that a dead node left behind', async () => {
      const node = await api.get<KubeNode>(kubeNodePath(name));
      if (node !== null && isKubeletSilent(node) && isTaintedByUs(node)) await removeLeftPods(api, name, log);
    });
  }

  #lift(name: NodeName): void {
    if (this.#lifted.has(name)) return;
    const { api, log } = this.#ports;
    this.#offer(name, 'lift the out-of-service taint', async (node) => {
      const body = node === null ? null : lifted(node);
      if (body !== null) await api.replace(kubeNodePath(name), body);
      this.#taintedSinceMs.delete(name);
      this.#found.delete(name);
      this.#lifted.add(name);
      log.info('a node is in service again', { node: name });
    });
  }
}
