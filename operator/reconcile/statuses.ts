/**
 * Brings what people see up to date: status of volumes, nodes and snapshots, StorageNodes for agents that registered, and the Events that go with it. Writes only
 * what differs, and amounts that change all the time only now and then.
 */
import { isDeepStrictEqual } from 'node:util';
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import {
  collectionPath,
  type KubeObject,
  NODE_FINALIZER,
  objectPath,
  type Resource,
  type SnapshotObject,
  type StorageNodeObject,
  type VolumeObject,
} from '../api.ts';
import type { StorageNodeStatus } from '../generated/storagenode.ts';
import type { VolumeStatus } from '../generated/volume.ts';
import { nodeEventsOf } from '../node/events.ts';
import { removalOf, snapshotsOn } from '../node/removal.ts';
import type { SettingsLag } from '../node/settingsLag.ts';
import { type NodeFacts, newStorageNode, nodeStatusOf, withoutAmounts } from '../node/status.ts';
import type { KubeViews } from '../observe/observe.ts';
import type { Now, Observed, ObservedVolume } from '../observe/observed.ts';
import type { KubeApi, KubeView } from '../ports.ts';
import type { SnapshotDecision } from '../snapshot/decide.ts';
import { snapshotEventsOf, snapshotStatusOf } from '../snapshot/status.ts';
import type { BlockedReplica, Decision, World } from '../volume/decision.ts';
import { eventsOf } from '../volume/events.ts';
import { isPlannedOnly, statusOf, withoutProgress } from '../volume/status.ts';
import { type ToldVolume, toldOf } from '../volume/told.ts';
import type { Events } from './events.ts';
import type { KubeWrites } from './kubeWrites.ts';
import { objectKey } from './perform.ts';

/** How often numbers alone are worth a write. */
const PROGRESS_INTERVAL_MS = 2_000;
const AMOUNTS_INTERVAL_MS = 10_000;
/** How often what is remembered of objects that are gone is forgotten. */
const FORGET_INTERVAL_MS = 10_000;

export type StatusPorts = { api: KubeApi; kube: KubeViews; writes: KubeWrites; events: Events };

/** Differs, and not only in numbers that were written a moment ago. */
function isWorthWriting<Status>(
  before: Status | undefined,
  after: Status,
  withoutNumbers: (status: Status) => Status,
  sinceLastMs: number,
  intervalMs: number,
): boolean {
  if (before === undefined) return true;
  if (isDeepStrictEqual(before, after)) return false;
  return sinceLastMs >= intervalMs || !isDeepStrictEqual(withoutNumbers(before), withoutNumbers(after));
}

export type Decisions = { volumes: ReadonlyMap<VolumeUid, Decision>; snapshots: ReadonlyMap<string, SnapshotDecision> };

/** What is known of nodes beside what is observed. */
export type NodeJudgements = { outOfService: ReadonlySet<NodeName>; settingsLags: ReadonlyMap<NodeName, SettingsLag> };

/**
 * People do not see yet what was decided. written: it is being written, or waits for its turn; heldUp: nothing was done for it, since a write of before is under way,
 * and its end changes nothing that anybody would notice where a watch has told of it already.
 */
export type Unsettled = 'written' | 'heldUp';

export type Told = {
  /** Every volume, as it was last decided. */
  volumes: ReadonlyMap<VolumeUid, ToldVolume>;
  /** Of the volumes that were decided. */
  unsettled: Map<VolumeUid, Unsettled>;
  /** How many fit nowhere. */
  unschedulable: number;
  /** How many are Degraded only because of nodes in maintenance. */
  planned: number;
};

export class Statuses {
  readonly #ports: StatusPorts;
  /** Of every volume, as it was last decided. */
  readonly #volumes = new Map<VolumeUid, ToldVolume>();
  readonly #unschedulable = new Set<VolumeUid>();
  /** Degraded only because of nodes in maintenance. */
  readonly #planned = new Set<VolumeUid>();
  /** Of volumes whose replica cannot leave its node, as it was last decided. */
  readonly #blocked = new Map<VolumeUid, { node: NodeName; volume: string; reason: string }[]>();
  /** Nodes whose status is as it should be, and what that was found of. */
  readonly #told = new Map<string, { object: StorageNodeObject; facts: NodeFacts }>();
  #forgotMs = Number.NEGATIVE_INFINITY;
  /** When each object's status was written last, by `<resource>/<name>`. */
  readonly #writtenMs = new Map<string, number>();

  constructor(ports: StatusPorts) {
    this.#ports = ports;
  }

  update(observed: Observed, decisions: Decisions, world: World, nodes: NodeJudgements): Told {
    const unsettled = new Map<VolumeUid, Unsettled>();
    for (const [uid, decision] of decisions.volumes) {
      if (decision.unschedulable.length > 0) this.#unschedulable.add(uid);
      else this.#unschedulable.delete(uid);
      const volume = observed.volumes.get(uid);
      if (!volume?.object) for (const known of [this.#volumes, this.#planned]) known.delete(uid);
      else this.#noteUnsettled({ ...volume, object: volume.object }, decision, world, unsettled);
    }
    this.#noteBlocked(decisions, world);
    this.#updateNodes(observed, world, nodes);
    for (const object of observed.snapshots.values()) this.#updateSnapshot(object, decisions, world);
    const isDue = world.now.monotonicMs - this.#forgotMs >= FORGET_INTERVAL_MS || this.#volumes.size > observed.volumes.size;
    if (isDue) this.#forgetOthers(observed, world.now.monotonicMs);
    return { volumes: this.#volumes, unsettled, unschedulable: this.#unschedulable.size, planned: this.#planned.size };
  }

  /** A pass decides some of the volumes; of the others what was decided before stands. */
  #noteBlocked({ volumes }: Decisions, world: World): void {
    for (const uid of volumes.keys()) this.#blocked.delete(uid);
    for (const [node, replicas] of world.blocked) {
      for (const { uid, volume, reason } of replicas) {
        const known = this.#blocked.get(uid) ?? [];
        known.push({ node, volume, reason });
        this.#blocked.set(uid, known);
      }
    }
  }

  #blockedOn({ metadata: { name, deletionTimestamp }, spec }: StorageNodeObject): BlockedReplica[] {
    if (this.#blocked.size === 0 || (!spec.evict && deletionTimestamp === undefined)) return [];
    return [...this.#blocked].flatMap(([uid, replicas]) =>
      replicas.filter(({ node }) => node === name).map(({ volume, reason }) => ({ uid, volume, reason })),
    );
  }

  #noteUnsettled(
    volume: ObservedVolume & { object: VolumeObject },
    decision: Decision,
    world: World,
    found: Map<VolumeUid, Unsettled>,
  ): void {
    const isHeldUp = this.#ports.writes.isBusy(objectKey({ resource: 'volumes' }, volume.object.metadata.name));
    if (!this.#updateVolume(volume, decision, world)) found.set(volume.uid, isHeldUp ? 'heldUp' : 'written');
  }

  /** Whether there is nothing more to write. */
  #updateVolume(volume: ObservedVolume & { object: VolumeObject }, decision: Decision, world: World): boolean {
    const { object } = volume;
    const status = statusOf(volume, decision, world);
    const told = toldOf(object.metadata.name, object.spec, status);
    if (told !== null) this.#volumes.set(volume.uid, told);
    if (isPlannedOnly(status)) this.#planned.add(volume.uid);
    else this.#planned.delete(volume.uid);
    // An object whose last finalizer goes vanishes: a status would only come too late.
    if (decision.state === 'gone' || decision.actions.some(({ kind }) => kind === 'removeFinalizer')) return true;
    const sinceMs = this.#sinceMs(objectKey({ resource: 'volumes' }, object.metadata.name), world.now);
    if (isWorthWriting<VolumeStatus>(object.status, status, withoutProgress, sinceMs, PROGRESS_INTERVAL_MS)) {
      this.#write(this.#ports.kube.volumes, { ...object, status }, world.now, () => {
        for (const event of eventsOf(object.status, status)) this.#ports.events.tell('Volume', object, event);
      });
      return false;
    }
    return isDeepStrictEqual(object.status, status);
  }

  #updateSnapshot(object: SnapshotObject, { snapshots }: Decisions, world: World): void {
    const decision = snapshots.get(object.metadata.uid);
    const subject = world.snapshots.byUid.get(object.metadata.uid);
    if (!decision || !subject || decision.actions.some(({ kind }) => kind === 'removeFinalizer')) return;
    const status = snapshotStatusOf(object, subject, decision);
    if (isDeepStrictEqual(object.status, status)) return;
    this.#write(this.#ports.kube.snapshots, { ...object, status }, world.now, () => {
      for (const event of snapshotEventsOf(object.status, status, decision.state)) this.#ports.events.tell('Snapshot', object, event);
    });
  }

  #updateNodes(observed: Observed, world: World, nodes: NodeJudgements): void {
    const view = this.#ports.kube.storagenodes;
    for (const node of observed.machines.keys()) {
      if (observed.storageNodes.has(node)) continue;
      this.#ports.writes.offer(`storagenodes/${node}`, 'make the StorageNode', async () => {
        view.accept(await this.#ports.api.create(collectionPath('storagenodes'), newStorageNode(node)));
      });
    }
    for (const object of observed.storageNodes.values()) this.#updateNode(object, observed, world, nodes);
  }

  #updateNode(object: StorageNodeObject, observed: Observed, world: World, { outOfService, settingsLags }: NodeJudgements): void {
    const { name, deletionTimestamp } = object.metadata;
    const facts: NodeFacts = {
      machine: observed.machines.get(name) ?? null,
      replicas: world.ledger.replicas(name),
      snapshots: object.spec.evict ? snapshotsOn(name, observed) : 0,
      blocked: this.#blockedOn(object),
      removal: deletionTimestamp === undefined ? null : removalOf(name, observed, world),
      limits: world.limits,
      isOutOfService: outOfService.has(name),
      settingsLag: settingsLags.get(name) ?? null,
    };
    if (this.#isTold(object, facts) || this.#updateFinalizer(object, facts)) return;
    const status = nodeStatusOf(object, facts, world.now);
    if (isDeepStrictEqual(object.status, status)) this.#told.set(name, { object, facts });
    const sinceMs = this.#sinceMs(`storagenodes/${name}`, world.now);
    if (isWorthWriting<StorageNodeStatus>(object.status, status, withoutAmounts, sinceMs, AMOUNTS_INTERVAL_MS)) {
      this.#write(this.#ports.kube.storagenodes, { ...object, status }, world.now, () => {
        for (const event of nodeEventsOf(object.status, status)) this.#ports.events.tell('StorageNode', object, event);
      });
    }
  }

  /** The very same was found to be what people see: of a thousand nodes nearly all. */
  #isTold(object: StorageNodeObject, { machine, replicas, snapshots, blocked, removal, isOutOfService, settingsLag }: NodeFacts): boolean {
    const told = this.#told.get(object.metadata.name);
    if (told === undefined || told.object !== object || removal !== null || blocked.length > 0) return false;
    const { facts } = told;
    const hasSame = facts.replicas === replicas && facts.snapshots === snapshots;
    const isSame = facts.machine === machine && hasSame && facts.isOutOfService === isOutOfService;
    const isAsLate = isDeepStrictEqual(facts.settingsLag, settingsLag);
    return isSame && isAsLate && facts.blocked.length === 0 && facts.removal === null;
  }

  /** A node is not forgotten while something lies there. True: there is no status to write beside it. */
  #updateFinalizer(object: StorageNodeObject, { removal }: NodeFacts): boolean {
    const { name, deletionTimestamp, finalizers = [] } = object.metadata;
    const isOurs = finalizers.includes(NODE_FINALIZER);
    const mustGo = isOurs && removal?.isDone === true;
    if (!mustGo && (isOurs || deletionTimestamp !== undefined)) return false;
    const wanted = mustGo ? finalizers.filter((one) => one !== NODE_FINALIZER) : [...finalizers, NODE_FINALIZER];
    const body = { ...object, metadata: { ...object.metadata, finalizers: wanted } };
    this.#ports.writes.offer(`storagenodes/${name}`, 'change the finalizers', async () => {
      const written = await this.#ports.api.replace(objectPath('storagenodes', name), body);
      if (written !== null) this.#ports.kube.storagenodes.accept(written);
    });
    return true;
  }

  #sinceMs(key: string, now: Now): number {
    return now.monotonicMs - (this.#writtenMs.get(key) ?? Number.NEGATIVE_INFINITY);
  }

  #write<Object extends KubeObject>(view: KubeView<Object>, object: Object, now: Now, onWritten: () => void = () => undefined): void {
    const { name } = object.metadata;
    const key = `${view.resource}/${name}`;
    this.#ports.writes.offer(key, 'write the status', async () => {
      // Changed since the pass looked: the next one decides on what it is now, and the API server would refuse this.
      if (view.objects.get(name)?.metadata.resourceVersion !== object.metadata.resourceVersion) return;
      const written = await this.#ports.api.replace(`${objectPath(view.resource, name)}/status`, object);
      if (written === null) return;
      this.#writtenMs.set(key, now.monotonicMs);
      view.accept(written);
      onWritten();
    });
  }

  #forgetOthers(observed: Observed, nowMs: number): void {
    this.#forgotMs = nowMs;
    for (const known of [this.#volumes, this.#unschedulable, this.#planned, this.#blocked])
      for (const uid of known.keys()) if (!observed.volumes.has(uid)) known.delete(uid);
    for (const name of this.#told.keys()) if (!observed.storageNodes.has(name)) this.#told.delete(name);
    const keys = new Set<string>();
    const add = (resource: Resource, names: Iterable<string>) => {
      for (const name of names) keys.add(`${resource}/${name}`);
    };
    add(
      'volumes',
      [...observed.volumes.values()].flatMap(({ object }) => object?.metadata.name ?? []),
    );
    add('storagenodes', [...observed.storageNodes.keys(), ...observed.machines.keys()]);
    for (const name of observed.storageNodes.keys()) keys.add(`nodes/${name}`);
    add('snapshots', observed.snapshots.keys());
    for (const key of this.#writtenMs.keys()) if (!keys.has(key)) this.#writtenMs.delete(key);
    this.#ports.writes.forgetOthers(keys);
  }
}
