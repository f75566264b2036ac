/** The real control loop over a store, an API server, agents and a clock in memory: what a test moves, moves; nothing else does. */

import type { VolumeConfig } from '../../../core/config.ts';
import type { InstanceId, NodeName } from '../../../core/ids.ts';
import { silentLog } from '../../../core/log.ts';
import { DEFAULT_SETTINGS } from '../../../core/settings.ts';
import { createMetrics } from '../../../edge/metrics.ts';
import { SchemaWatch } from '../../../edge/schemaWatch.ts';
import { collectionPath, objectPath, type SnapshotObject, type StorageNodeObject, type VolumeObject } from '../../../operator/api.ts';
import type { Rebalance } from '../../../operator/balance/balance.ts';
import { ListWatchView } from '../../../operator/edge/kubeView.ts';
import { Office } from '../../../operator/election/office.ts';
import type { VolumeSpec } from '../../../operator/generated/volume.ts';
import { operatorMetrics } from '../../../operator/metrics.ts';
import type { Timers } from '../../../operator/ports.ts';
import { Controller } from '../../../operator/reconcile/controller.ts';
import { configsAmong } from '../configsInStore.ts';
import { ManualClock } from '../manualClock.ts';
import { atRest, ScriptedStore } from '../scriptedStore.ts';
import { SeededRandom } from '../seededRandom.ts';
import { instance, KEYS, machine, spec } from './builders.ts';
import { FakeAgent, FakeDisks } from './fakeAgent.ts';
import { FakeKubeApi } from './fakeKubeApi.ts';

class ManualTimers implements Timers {
  readonly #clock: ManualClock;
  #waiting: { dueMs: number; resolve: () => void }[] = [];

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  sleep(forMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      this.#waiting.push({ dueMs: this.#clock.nowMs + forMs, resolve });
      signal?.addEventListener('abort', () => resolve());
    });
  }

  fire(): void {
    const due = this.#waiting.filter(({ dueMs }) => dueMs <= this.#clock.nowMs);
    this.#waiting = this.#waiting.filter(({ dueMs }) => dueMs > this.#clock.nowMs);
    for (const { resolve } of due) resolve();
  }
}

const STEP_MS = 100;

export class Rig {
  readonly store = new ScriptedStore();
  readonly api = new FakeKubeApi();
  readonly clock = new ManualClock();
  readonly disks = new FakeDisks();
  readonly agents = new Map<NodeName, FakeAgent>();
  readonly faults: unknown[] = [];
  /** Of the next leader. */
  replaceAfterMs = 600_000;
  rebalance: Rebalance = 'on';
  /** Whether the leader may believe in its Lease. */
  holdsLease = true;
  /** How often a leader found that another leads. */
  deposals = 0;
  readonly #timers = new ManualTimers(this.clock);
  readonly #random: SeededRandom;
  #leader: { office: Office; close: () => void } | null = null;
  #terms = 0;
  #instances = 0;

  constructor(seed = 1) {
    this.#random = new SeededRandom(seed);
  }

  /** Another operator leads; the one before it may still be in the middle of something. */
  elect(): void {
    this.depose();
    const term = ++this.#terms;
    const metrics = operatorMetrics(createMetrics({ processMetrics: false }));
    const ports = { api: this.api, timers: this.#timers, random: this.#random, log: silentLog };
    const wake = (): void => controller.wake();
    const kube = {
      volumes: new ListWatchView<VolumeObject>('volumes', ports, wake),
      storagenodes: new ListWatchView<StorageNodeObject>('storagenodes', ports, wake),
      snapshots: new ListWatchView<SnapshotObject>('snapshots', ports, wake),
    };
    const store = {
      volumes: this.store.view(KEYS.volumes, wake),
      tasks: this.store.view(KEYS.tasks, wake),
      claims: this.store.view(KEYS.claims, wake),
      history: this.store.view(KEYS.history, wake),
      machines: this.store.view(KEYS.machines, wake),
      serving: this.store.view(KEYS.serving, wake),
      snapshots: this.store.view(KEYS.snapshots, wake),
      scrubs: this.store.view(KEYS.scrubs, wake),
      primaries: this.store.view(KEYS.primaries, wake),
      settings: this.store.view(KEYS.settings, wake),
    };
    const schema = new SchemaWatch({ store: this.store, keys: KEYS, log: silentLog, changed: wake });
    const controller = new Controller({
      ...ports,
      sources: { store, kube, keys: KEYS },
      store: this.store,
      clock: this.clock,
      replaceAfterMs: this.replaceAfterMs,
      raiseSchemaAfterMs: 0,
      taintsDeadNodes: true,
      holdsLease: () => this.holdsLease,
      rebalance: this.rebalance,
      limits: { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 },
      settings: DEFAULT_SETTINGS,
      schema,
      version: '0.0.0',
      metrics,
      instance: `operator-${term}`,
    });
    const close = (): void => {
      for (const view of [...Object.values(store), ...Object.values(kube), schema]) view.close();
    };
    const office = new Office({
      store: this.store,
      keys: KEYS,
      timers: this.#timers,
      metrics,
      log: silentLog,
      identity: `operator-${term}`,
      lead: (leadership, signal) => controller.run(leadership, signal),
      settled: () => undefined,
      deposed: () => this.deposals++,
      fail: (error) => void this.faults.push(error),
    });
    office.begin(term);
    this.#leader = { office, close };
  }

  depose(): void {
    this.#leader?.office.end('another leads');
    this.#leader?.close();
    this.#leader = null;
  }

  /** Starts the agent of a node, anew if it runs already. */
  start(letter: string, change: Parameters<typeof machine>[1] = {}): FakeAgent {
    const node = `node-${letter}`;
    if (this.agents.has(node)) this.kill(letter);
    const state = machine(letter, { instance: instance(`${letter}${++this.#instances}`), ...change });
    const agent = new FakeAgent({ store: this.store, keys: KEYS, machine: state, disks: this.disks, peers: this.agents });
    agent.failed.push(...(this.agents.get(node)?.failed ?? []));
    this.agents.set(node, agent);
    return agent;
  }

  /** Its keys go with its lease. */
  kill(letter: string): void {
    const agent = this.agent(letter);
    agent.isRunning = false;
    this.#expireLeases();
  }

  /** What stands under the lease of a process that is gone goes; also what it asked for and only now landed. */
  #expireLeases(): void {
    const alive = new Set([...this.agents.values()].filter(({ isRunning }) => isRunning).map(({ instance: id }) => id));
    for (const prefix of [KEYS.machines, KEYS.claims, KEYS.serving]) {
      for (const { key, value } of this.store.entriesOf(prefix).values()) {
        if (!alive.has((JSON.parse(value) as { instance: InstanceId }).instance)) this.store.delete(key);
      }
    }
  }

  agent(letter: string): FakeAgent {
    const agent = this.agents.get(`node-${letter}`);
    if (!agent) throw new Error(`node-${letter} was never started`);
    return agent;
  }

  async step(steps = 1): Promise<void> {
    for (let count = 0; count < steps; count++) {
      for (const agent of this.agents.values()) await agent.tick();
      this.#expireLeases();
      this.clock.advance(STEP_MS);
      this.#timers.fire();
      await atRest();
      const [fault] = this.faults;
      if (fault !== undefined) throw fault;
    }
  }

  /** Steps until it is so; a bound on what may take for ever. */
  async until(what: string, holds: () => boolean, stepsMax = 600): Promise<void> {
    for (let count = 0; count < stepsMax; count++) {
      if (holds()) return;
      await this.step();
    }
    throw new Error(`not within ${stepsMax} steps: ${what}\n${this.describe()}`);
  }

  async create(name: string, change: Partial<VolumeSpec> = {}): Promise<VolumeObject> {
    const object = {
      apiVersion: 'holdfast.dev/v1alpha1',
      kind: 'Volume',
      metadata: { name, uid: '', resourceVersion: '', creationTimestamp: '2026-01-01T00:00:00Z' },
      spec: spec(change),
    };
    return this.api.create<VolumeObject>(collectionPath('volumes'), object);
  }

  async createSnapshot(name: string, volume: string): Promise<SnapshotObject> {
    const metadata = { name, uid: '', resourceVersion: '' };
    return this.api.create<SnapshotObject>(collectionPath('snapshots'), { metadata, spec: { volume } });
  }

  snapshotPath(name: string): string {
    return objectPath('snapshots', name);
  }

  snapshot(name: string): SnapshotObject | null {
    return this.api.object<SnapshotObject>(this.snapshotPath(name));
  }

  get snapshots(): SnapshotObject[] {
    return this.api.objectsOf<SnapshotObject>(collectionPath('snapshots'));
  }

  path(name: string): string {
    return objectPath('volumes', name);
  }

  volume(name: string): VolumeObject | null {
    return this.api.object<VolumeObject>(this.path(name));
  }

  get volumes(): VolumeObject[] {
    return this.api.objectsOf<VolumeObject>(collectionPath('volumes'));
  }

  phase(name: string): string | undefined {
    return this.volume(name)?.status?.phase;
  }

  config(name: string): VolumeConfig | null {
    return this.configs.find((config) => config.name === name) ?? null;
  }

  get configs(): VolumeConfig[] {
    return configsAmong([...this.store.entriesOf(KEYS.root).values()], KEYS).map(({ config }) => config);
  }

  change(name: string, change: Partial<VolumeSpec>): void {
    this.api.change<VolumeObject>(this.path(name), (object) => Object.assign(object.spec, change));
  }

  describe(): string {
    const entries = [...this.store.entriesOf(KEYS.root).values()].map(({ key, value }) => `${key} = ${value}`);
    const objects = this.volumes.map(({ metadata, spec: asked, status }) => JSON.stringify({ metadata, asked, status }));
    const snapshots = this.snapshots.map((object) => JSON.stringify(object));
    return [...objects, ...snapshots, ...entries].join('\n');
  }
}
