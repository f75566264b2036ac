/**
 * What a pass decides about one volume, and the few ways to build it. A decision holds at most one transaction: facts that belong together change
 * together, and whatever comes next is decided on what was then observed. Pure.
 */
import { nodesOf, type VolumeConfig } from '../../core/config.ts';
import type { NodeName, ReplicaId, SnapshotUid, VolumeUid } from '../../core/ids.ts';
import { unchangedKeys } from '../../core/inForce.ts';
import type { Keys } from '../../core/keys.ts';
import type { MachineState } from '../../core/machine.ts';
import type { Random } from '../../core/random.ts';
import type { Change, Condition } from '../../core/store.ts';
import { fileTask, type Task, type TaskSpec } from '../../core/task.ts';
import type { VolumeObject } from '../api.ts';
import type { Move } from '../balance/move.ts';
import type { Memory } from '../observe/memory.ts';
import type { Now, ObservedTask, ObservedVolume, Stored, StoredConfig } from '../observe/observed.ts';
import type { PlacementLimits, PlacementNode } from '../placement/checks.ts';
import type { Ledger } from '../placement/ledger.ts';
import type { NodeReason } from '../placement/place.ts';
import type { SnapshotIndex } from '../snapshot/subjects.ts';
import type { ObjectEvent } from './events.ts';

/** In the order of the README, which says what each means. */
export const DECISION_STATES = [
  'damaged',
  'gone',
  'deleting',
  'unsupported',
  'new',
  'waiting',
  'unschedulable',
  'placing',
  'creating',
  'fencing',
  'attaching',
  'releasing',
  'unattachable',
  'replacing',
  'settling',
  'lost',
  'unrecorded',
  'outdated',
  'serving',
  'detached',
] as const;
export type DecisionState = (typeof DECISION_STATES)[number];

export type Transaction = {
  /** In words, for logs and errors: `promote node-a to epoch 4`. */
  operation: string;
  traceId: string;
  conditions: Condition[];
  changes: Change[];
};

export type Action =
  | { kind: 'addFinalizer' }
  | { kind: 'removeFinalizer' }
  /** What people asked for by it is done, or refused: they are told when it is off the object. */
  | { kind: 'removeAnnotation'; annotation: string; event: ObjectEvent }
  /** Asks the API server itself whether the object is really gone; the actions after it happen only if so. */
  | { kind: 'confirmAbsent'; name: string }
  | { kind: 'commit'; transaction: Transaction }
  /** After a commit: so that the same is not tried again at once if it leads to nothing. */
  | { kind: 'noteSetback'; what: string; signature: string }
  /** Asks the API server itself whether really nobody asks for that snapshot; the actions after it happen only if so. */
  | { kind: 'confirmNobodyWants'; uid: SnapshotUid }
  /** After a commit. */
  | { kind: 'tell'; event: ObjectEvent };

export type Decision = {
  state: DecisionState;
  /** A sentence for people. */
  reason: string;
  /** In order. None: there is nothing to do now. */
  actions: readonly Action[];
  /** Why each known node takes no replica, where one is looked for in vain. */
  unschedulable: readonly NodeReason[];
};

/** A replica that shall leave its node and cannot now. */
export type BlockedReplica = { uid: VolumeUid; volume: string; reason: string };

/** What a decision about one volume may look at beside the volume itself. */
export type World = {
  keys: Keys;
  now: Now;
  generation: number;
  machines: ReadonlyMap<NodeName, MachineState>;
  nodes: readonly PlacementNode[];
  ledger: Ledger;
  limits: PlacementLimits;
  /** A node that is away for so long is not waited for any more; 0: always waited for. */
  replaceAfterMs: number;
  /** How many more may be begun because of that; shared by all volumes of a pass, like the ledger. */
  replacements: { left: number };
  /** Why volumes that shall grow cannot; told by the pass itself, for what people see. */
  growTroubles: Map<VolumeUid, string>;
  /** What the balance wants elsewhere, by the replica that is to leave. */
  moves: ReadonlyMap<ReplicaId, Move>;
  /** Why replicas do not leave nodes that are to be emptied, by node; told by the pass itself, for what people see. */
  blocked: Map<NodeName, BlockedReplica[]>;
  snapshots: SnapshotIndex;
  /** The objects may be behind, and another may lead (reconcile/mandate.ts): nothing is begun and nothing given up, volumes are kept up. */
  isCaretaker: boolean;
  memory: Memory;
  random: Random;
};

/** A volume that has a config and an object: what most steps are about. */
export type PlacedVolume = ObservedVolume & { object: VolumeObject; config: StoredConfig };

/** Acts, or only says how things are and lets later steps act, or has nothing to say. */
export type Step<Volume extends ObservedVolume> = (volume: Volume, world: World, traceId: string) => Decision | null;

export const note = (state: DecisionState, reason: string, unschedulable: readonly NodeReason[] = []): Decision => ({
  state,
  reason,
  actions: [],
  unschedulable,
});

export const act = (state: DecisionState, reason: string, ...actions: Action[]): Decision => ({
  state,
  reason,
  actions,
  unschedulable: [],
});

export const commit = (operation: string, traceId: string, conditions: Condition[], changes: Change[]): Action => ({
  kind: 'commit',
  transaction: { operation, traceId, conditions, changes },
});

/** Conditions and changes that belong together; parts of one transaction. */
export type Part = { conditions: Condition[]; changes: Change[] };
export const join = (...parts: readonly Part[]): Part => ({
  conditions: parts.flatMap((part) => part.conditions),
  changes: parts.flatMap((part) => part.changes),
});

export const unchanged = (stored: Stored<unknown>): Condition => ({ key: stored.key, is: 'revision', revision: stored.revision });

/** Both keys of a config: what the leader wrote, and what the primary that it names has made of that. */
export const unchangedConfig = (stored: StoredConfig): Condition[] => unchangedKeys(stored, stored.recorded ?? null);

/** What primaries wrote of it: it is in the config that is written now, or is for nothing. */
const removedRecords = ({ recorded, strays = [] }: StoredConfig): Change[] => [
  ...(recorded && recorded.revision !== null ? [{ delete: recorded.key }] : []),
  ...strays.map((key) => ({ delete: key })),
];

/** Every node that has a pointer to it: a primary that has let go is named by the leader's value only. */
const pointedNodes = ({ value, recorded }: StoredConfig): NodeName[] => [
  ...new Set([...nodesOf(value), ...(recorded ? nodesOf(recorded.leaders) : [])]),
];

/** The config as it shall be, with the pointers of every node that must hear of it; gone from those that need not any more. */
export function configPart(keys: Keys, before: StoredConfig | null, after: VolumeConfig): Part {
  const key = keys.volume(after.uid);
  const nodes = nodesOf(after);
  const left = before ? pointedNodes(before).filter((node) => !nodes.includes(node)) : [];
  return {
    conditions: before ? unchangedConfig(before) : [{ key, is: 'absent' }],
    changes: [
      { put: key, value: JSON.stringify(after) },
      ...(before ? removedRecords(before) : []),
      ...nodes.map((node) => ({ put: keys.pointer(node, after.uid), value: String(after.version) })),
      ...left.flatMap((node) => [{ delete: keys.pointer(node, after.uid) }, { delete: keys.bell(node, after.uid) }]),
    ],
  };
}

/** Bells go with it as far as one transaction has room; the rest are a few bytes that nobody acts on. */
const BELLS_REMOVED_MAX = 32;

export function removedConfigPart(keys: Keys, config: StoredConfig): Part {
  const uid: VolumeUid = config.value.uid;
  const nodes = pointedNodes(config);
  const bells = nodes.length > BELLS_REMOVED_MAX ? [] : nodes.map((node) => ({ delete: keys.bell(node, uid) }));
  return {
    conditions: unchangedConfig(config),
    changes: [{ delete: config.key }, ...removedRecords(config), ...nodes.map((node) => ({ delete: keys.pointer(node, uid) })), ...bells],
  };
}

/** How long an agent that was cut off may still learn from etcd that a volume was deleted, and not lost. */
const DELETED_SECONDS = 86_400;

/** Says that the volume goes because somebody wanted it to: agents take a config that is simply not there any more for one that was lost. */
export const deletedPart = ({ keys, generation }: World, uid: VolumeUid, traceId: string): Part => ({
  conditions: [],
  changes: [{ put: keys.deletedOf(uid), value: JSON.stringify({ generation, traceId }), expiresAfterSeconds: DELETED_SECONDS }],
});

/** A task is filed once: its id is made from what it is to do. */
export function filedPart(world: World, id: string, node: NodeName, spec: TaskSpec, traceId: string): Part {
  const key = world.keys.task(node, id);
  const task: Task = fileTask(id, node, spec, world.generation, traceId);
  return { conditions: [{ key, is: 'absent' }], changes: [{ put: key, value: JSON.stringify(task) }] };
}

export function rewrittenPart(observed: ObservedTask, next: Task): Part {
  return { conditions: [unchanged(observed.task)], changes: [{ put: observed.task.key, value: JSON.stringify(next) }] };
}

/** Ended tasks can still be looked up for so long. */
export const HISTORY_SECONDS = 3_600;

/** Out of the way, into the history. The claim goes with it, in case its agent did not take it back. */
export function archivedPart(keys: Keys, { task }: ObservedTask): Part {
  const history: Change = { put: keys.historyOf(task.value.id), value: JSON.stringify(task.value), expiresAfterSeconds: HISTORY_SECONDS };
  return { conditions: [unchanged(task)], changes: [{ delete: task.key }, { delete: keys.claim(task.value.id) }, history] };
}

/** Away without a trace: for volumes that are gone. */
export const droppedPart = (keys: Keys, { task }: ObservedTask): Part => ({
  conditions: [unchanged(task)],
  changes: [{ delete: task.key }, { delete: keys.claim(task.value.id) }],
});
