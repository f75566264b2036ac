/**
 * Puts together what there is of each volume, from whatever entries it is given: all of them, or all that concern a few volumes. Reads only; what cannot be read becomes
 * a sentence. Must never ask anybody.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, SnapshotUid, VolumeUid } from '../../core/ids.ts';
import { isSnapshotUid, isVolumeUid, snapshotUid, volumeUid } from '../../core/ids.ts';
import { configInForce } from '../../core/inForce.ts';
import type { Keys } from '../../core/keys.ts';
import type { MachineState } from '../../core/machine.ts';
import type { RecordedSnapshot } from '../../core/snapshot.ts';
import type { Entry } from '../../core/store.ts';
import type { VolumeObject } from '../api.ts';
import {
  type Decoded,
  decodeClaim,
  decodeConfig,
  decodeEnded,
  decodeMachine,
  decodeRecord,
  decodeScrub,
  decodeServing,
  decodeSnapshot,
  decodeTask,
} from './decode.ts';
import type { ObservedTask, ObservedVolume, Stored, StoredConfig } from './observed.ts';

/** Decoding is most of a pass's work, and an entry never changes: each is decoded once. */
const decoded = new WeakMap<Entry, Decoded<unknown>>();
export function once<Value>(entry: Entry, decode: (entry: Entry) => Decoded<Value>): Decoded<Value> {
  const known = decoded.get(entry) as Decoded<Value> | undefined;
  if (known) return known;
  const result = decode(entry);
  decoded.set(entry, result);
  return result;
}

type Mutable = { -readonly [Field in keyof ObservedVolume]: ObservedVolume[Field] } & {
  tasks: ObservedTask[];
  history: string[];
  snapshots: Map<SnapshotUid, Stored<RecordedSnapshot>>;
};

export class Gathering {
  readonly volumes = new Map<VolumeUid, Mutable>();
  readonly damages: string[] = [];

  volume(uid: VolumeUid): Mutable {
    const known = this.volumes.get(uid);
    if (known) return known;
    const fresh: Mutable = {
      uid,
      object: null,
      config: null,
      damage: null,
      tasks: [],
      history: [],
      serving: null,
      snapshots: new Map(),
      scrub: null,
    };
    this.volumes.set(uid, fresh);
    return fresh;
  }

  read<Value>(entry: Entry, decode: (entry: Entry) => Decoded<Value>): Value | null {
    const { value, problem } = once(entry, decode);
    if (problem !== null) this.damages.push(problem);
    return value;
  }
}

type ConfigEntries = Pick<GatheredEntries, 'volumes' | 'primaries'>;

/** Strays of one volume that its next change removes: nobody has so many but by intent. */
const STRAYS_MAX = 8;

/** What stands there in both keys. What a primary wrote against the rules is told, and harms nobody. */
function storedConfig(gathering: Gathering, keys: Keys, entry: Entry, config: VolumeConfig, primaries: Entries): StoredConfig {
  const at = (key: string): Entry | null => primaries.get(key) ?? null;
  const inForce = configInForce(keys, { entry, config }, at, (record) => once(record, decodeRecord));
  if (inForce.refusal !== null) gathering.damages.push(inForce.refusal);
  const { leaders, record } = inForce;
  const others = [...primaries.keys()].filter((key) => key !== record?.key && key.endsWith(`/${config.uid}`));
  const strays = others.sort().slice(0, STRAYS_MAX);
  return {
    value: inForce.config,
    key: entry.key,
    revision: entry.revision,
    ...(record ? { recorded: { leaders, key: record.key, revision: record.entry?.revision ?? null } } : {}),
    ...(strays.length > 0 ? { strays } : {}),
  };
}

function gatherConfigs(gathering: Gathering, keys: Keys, { volumes: entries, primaries }: ConfigEntries): void {
  const prefix = keys.volumes;
  for (const entry of entries.values()) {
    const name = entry.key.slice(prefix.length);
    if (!isVolumeUid(name)) {
      gathering.damages.push(`${entry.key} is not the key of a volume`);
      continue;
    }
    const volume = gathering.volume(volumeUid(name));
    const { value, problem } = once(entry, decodeConfig);
    if (problem !== null) volume.damage = problem;
    else if (value.uid !== name) volume.damage = `${entry.key} is the config of ${value.uid}`;
    else volume.config = storedConfig(gathering, keys, entry, value, primaries);
    if (volume.damage !== null) gathering.damages.push(volume.damage);
  }
}

/** The configs alone, of those that can be read. */
export function gatherStoredConfigs(keys: Keys, entries: ConfigEntries): Map<VolumeUid, StoredConfig> {
  const gathering = new Gathering();
  gatherConfigs(gathering, keys, entries);
  return new Map([...gathering.volumes].flatMap(([uid, { config }]) => (config ? [[uid, config] as const] : [])));
}

function gatherTasks(gathering: Gathering, keys: Keys, entries: ReadonlyMap<string, Entry>, claims: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const task = gathering.read(entry, decodeTask);
    if (task === null) continue;
    const claimEntry = claims.get(keys.claim(task.id));
    const claim = claimEntry ? gathering.read(claimEntry, decodeClaim) : null;
    gathering.volume(task.spec.volume).tasks.push({
      task: { value: task, key: entry.key, revision: entry.revision },
      claim: claimEntry && claim ? { value: claim, key: claimEntry.key, revision: claimEntry.revision } : null,
    });
  }
}

/** `snapshots/<volume>/<snapshot>`: also of volumes that are gone. */
function gatherSnapshots(gathering: Gathering, prefix: string, entries: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const [uid = '', snapshot = '', ...more] = entry.key.slice(prefix.length).split('/');
    if (!isVolumeUid(uid) || !isSnapshotUid(snapshot) || more.length > 0) {
      gathering.damages.push(`${entry.key} is not the key of a snapshot`);
      continue;
    }
    const value = gathering.read(entry, decodeSnapshot);
    if (value) gathering.volume(volumeUid(uid)).snapshots.set(snapshotUid(snapshot), { value, key: entry.key, revision: entry.revision });
  }
}

function gatherScrubs(gathering: Gathering, prefix: string, entries: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const uid = entry.key.slice(prefix.length);
    const volume = isVolumeUid(uid) ? gathering.volumes.get(volumeUid(uid)) : undefined;
    if (volume) volume.scrub = gathering.read(entry, decodeScrub);
  }
}

export function gatherMachines(gathering: Gathering, entries: ReadonlyMap<string, Entry>): Map<NodeName, MachineState> {
  const machines = new Map<NodeName, MachineState>();
  for (const entry of entries.values()) {
    const machine = gathering.read(entry, decodeMachine);
    if (machine) machines.set(machine.node, machine);
  }
  return machines;
}

type Entries = ReadonlyMap<string, Entry>;

/** By what of each volume is gathered. `claims`: all of them. */
export type GatheredEntries = {
  objects: Iterable<VolumeObject>;
  volumes: Entries;
  /** What primaries have made of them. */
  primaries: Entries;
  tasks: Entries;
  claims: Entries;
  history: Entries;
  serving: Entries;
  snapshots: Entries;
  scrubs: Entries;
};

export function gather(entries: GatheredEntries, keys: Keys): Gathering {
  const gathering = new Gathering();
  for (const object of entries.objects) {
    if (isVolumeUid(object.metadata.uid)) gathering.volume(volumeUid(object.metadata.uid)).object = object;
  }
  gatherConfigs(gathering, keys, entries);
  gatherTasks(gathering, keys, entries.tasks, entries.claims);
  for (const entry of entries.history.values()) {
    const uid = gathering.read(entry, decodeEnded);
    if (uid) gathering.volume(uid).history.push(entry.key);
  }
  for (const entry of entries.serving.values()) {
    const report = gathering.read(entry, decodeServing);
    const volume = report ? gathering.volumes.get(report.uid) : undefined;
    if (report && volume) volume.serving = report;
  }
  gatherSnapshots(gathering, keys.snapshots, entries.snapshots);
  gatherScrubs(gathering, keys.scrubs, entries.scrubs);
  return gathering;
}
