/**
 * All that a pass knows, as one value. Types only. Gathered once at its start (observe.ts), changed by nothing during it.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, SnapshotUid, VolumeUid } from '../../core/ids.ts';
import type { MachineState, ServingReport } from '../../core/machine.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { RecordedSnapshot } from '../../core/snapshot.ts';
import type { Claim, Task } from '../../core/task.ts';
import type { SnapshotObject, StorageNodeObject, VolumeObject } from '../api.ts';
import type { Memory } from './memory.ts';

/** A value from etcd with the revision that a change of it must compare. */
export type Stored<Value> = { value: Value; key: string; revision: string };

/** A volume's config in force, with all that a change of it compares and removes (core/inForce.ts). `key` and `revision` are those of what the leader wrote. */
export type StoredConfig = Stored<VolumeConfig> & {
  /** Left out: it names no primary, so what it wrote is all there is. */
  recorded?: {
    /** As the leader wrote it. */
    leaders: VolumeConfig;
    key: string;
    /** Null: the primary has written nothing. */
    revision: string | null;
  };
  /** Keys of what nodes wrote that are not named: it counts for nothing. */
  strays?: readonly string[];
};

export type ObservedTask = {
  task: Stored<Task>;
  claim: Stored<Claim> | null;
};

export type ObservedVolume = {
  uid: VolumeUid;
  /** Null: there is no such object (any more). */
  object: VolumeObject | null;
  /** Null: nothing was placed yet, or all is deleted. */
  config: StoredConfig | null;
  /** In words, when what stands in etcd of this volume cannot be read. Then nothing is done to it. */
  damage: string | null;
  tasks: readonly ObservedTask[];
  /** Keys of its ended tasks. */
  history: readonly string[];
  serving: ServingReport | null;
  /** Recorded: they exist. Also of a volume that is gone. */
  snapshots: ReadonlyMap<SnapshotUid, Stored<RecordedSnapshot>>;
  scrub: ScrubState | null;
};

export type Observed = {
  volumes: ReadonlyMap<VolumeUid, ObservedVolume>;
  storageNodes: ReadonlyMap<NodeName, StorageNodeObject>;
  snapshots: ReadonlyMap<string, SnapshotObject>;
  /** Agents that live: their key stands in etcd. */
  machines: ReadonlyMap<NodeName, MachineState>;
  memory: Memory;
  /** In words: keys in etcd that are not what they should be. They count as absent, but for configs (`ObservedVolume.damage`). */
  damages: readonly string[];
};

/** Both clocks, read once a pass. */
export type Now = { monotonicMs: number; wallMs: number };
