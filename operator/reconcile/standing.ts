/**
 * What a pass needs to know of all volumes together, kept from pass to pass and changed by what changed: what is promised where, how many replicas are being made
 * anew, the nodes as placement sees them. Does no I/O. The same as if it were made from everything each time.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { Difference } from '../observe/observe.ts';
import type { Observed, ObservedVolume } from '../observe/observed.ts';
import type { PlacementNode } from '../placement/checks.ts';
import { Ledger } from '../placement/ledger.ts';
import { type SnapshotIndex, snapshotIndex } from '../snapshot/subjects.ts';
import { resyncsOf } from '../volume/shards.ts';

const nodeNames = (observed: Observed): NodeName[] => [...new Set([...observed.machines.keys(), ...observed.storageNodes.keys()])];

function placementNode(node: NodeName, observed: Observed): PlacementNode {
  const machine = observed.machines.get(node) ?? null;
  const object = observed.storageNodes.get(node);
  const isRemoved = object?.metadata.deletionTimestamp !== undefined;
  return { node, machine, spec: object?.spec ?? null, labels: { ...machine?.labels, ...object?.metadata.labels }, isRemoved };
}

const replicasOf = (config: VolumeConfig): string[] => config.shards.flatMap(({ members }) => members.map(({ replica }) => replica));

/** Somewhere less is promised now. */
function isFreed(before: VolumeConfig, after: VolumeConfig | null): boolean {
  const kept = new Set(after ? replicasOf(after) : []);
  return replicasOf(before).some((replica) => !kept.has(replica));
}

const concernsSnapshots = ({ snapshots, tasks, object }: ObservedVolume): boolean =>
  snapshots.size > 0 || object?.spec.source !== undefined || tasks.some(({ task }) => 'snapshot' in task.value.spec);

/** One term of leadership. */
export class Standing {
  readonly ledger = new Ledger([]);
  resyncs = 0;
  nodes: readonly PlacementNode[] = [];
  snapshots: SnapshotIndex | null = null;
  readonly #configs = new Map<VolumeUid, VolumeConfig>();
  readonly #names = new Map<VolumeUid, string>();
  readonly #byName = new Map<string, ObservedVolume>();

  /** Whether space became free that volumes may wait for. */
  update(observed: Observed, difference: Difference): boolean {
    this.ledger.beginPass();
    let hasFreed = false;
    for (const uid of difference.volumes) hasFreed = this.#count(uid, observed.volumes.get(uid)?.config?.value ?? null) || hasFreed;
    if (difference.machines.size > 0 || difference.storageNodes.size > 0)
      this.nodes = nodeNames(observed).map((node) => placementNode(node, observed));
    this.#index(observed, difference);
    return hasFreed;
  }

  /** Made anew when anything of it may be other; where there are no snapshots, only the names follow. */
  #index(observed: Observed, { volumes, hasSnapshots }: Difference): void {
    let isOther = this.snapshots === null || hasSnapshots;
    for (const uid of volumes) {
      const volume = observed.volumes.get(uid);
      const name = this.#names.get(uid);
      if (name !== undefined && this.#byName.get(name)?.uid === uid) this.#byName.delete(name);
      this.#names.delete(uid);
      if (volume?.object) {
        this.#names.set(uid, volume.object.metadata.name);
        this.#byName.set(volume.object.metadata.name, volume);
      }
      isOther ||= (this.snapshots?.byUid.size ?? 0) > 0 || (volume !== undefined && concernsSnapshots(volume));
    }
    if (isOther) this.snapshots = { ...snapshotIndex(observed), volumesByName: this.#byName };
  }

  #count(uid: VolumeUid, after: VolumeConfig | null): boolean {
    const before = this.#configs.get(uid) ?? null;
    if (before === after) return false;
    this.ledger.replace(before, after);
    this.resyncs += (after ? resyncsOf(after) : 0) - (before ? resyncsOf(before) : 0);
    if (after) this.#configs.set(uid, after);
    else this.#configs.delete(uid);
    return before !== null && isFreed(before, after);
  }
}

/** Of everything, for those who look once. */
export function standingOf(observed: Observed): Standing {
  const standing = new Standing();
  const all = new Map([...observed.machines.values()].map((machine) => [machine.node, { before: null, now: machine }]));
  const storageNodes = new Set(observed.storageNodes.keys());
  standing.update(observed, { volumes: new Set(observed.volumes.keys()), machines: all, storageNodes, hasSnapshots: true });
  return standing;
}
