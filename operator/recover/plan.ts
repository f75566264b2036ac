/**
 * All that a lost store can be rebuilt of, as one plan that a person reads before anything is written. Pure. Must never plan anything while a machine that should
 * be there has not told what it holds and nobody has said that it will not come.
 */
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { Inventory } from '../../core/inventory.ts';
import type { SnapshotObject, VolumeObject } from '../api.ts';
import type { StoredConfig } from '../observe/observed.ts';
import { type FoundReplica, rebuildVolume, type Verdict } from './rebuild.ts';
import { type KeptPart, rebuildSnapshot, type SnapshotVerdict } from './snapshots.ts';

export type Evidence = {
  /** By node; a sentence where there is none. */
  inventories: ReadonlyMap<NodeName, Inventory | string>;
  /** Nodes that should be there. */
  expected: ReadonlySet<NodeName>;
  volumes: readonly VolumeObject[];
  snapshots: readonly SnapshotObject[];
  configs: ReadonlyMap<VolumeUid, StoredConfig>;
  /** Uids of snapshots that have a record. */
  recorded: ReadonlySet<string>;
};

export type Choices = {
  /** Nodes that will not come, as a person said. */
  without: ReadonlySet<NodeName>;
  /** Volumes, by name or uid, of which a loss is accepted. */
  acceptLoss: ReadonlySet<string>;
  /** A person knows that this etcd holds something of volumes already, and wants what is missing added to it. */
  amends: boolean;
};

export type PlannedVolume = { uid: VolumeUid; name: string | null; stored: StoredConfig | null; verdict: Verdict };
export type PlannedSnapshot = { object: SnapshotObject; verdict: SnapshotVerdict };
export type Plan = {
  /** Why nothing may be written at all. */
  waitsFor: string[];
  /** Why this etcd is none that was lost as a whole; null: it is, or a person said to go on. */
  notEmpty: string | null;
  volumes: PlannedVolume[];
  snapshots: PlannedSnapshot[];
  /** Replicas that no config will name: their space is taken until somebody deletes them. */
  strays: FoundReplica[];
};

const told = ({ inventories }: Evidence): Inventory[] => [...inventories.values()].filter((each) => typeof each !== 'string');

function waitsFor({ inventories, expected }: Evidence, { without }: Choices): string[] {
  return [...expected].sort().flatMap((node) => {
    const inventory = inventories.get(node) ?? 'its agent is not heard of';
    if (without.has(node)) return [];
    if (typeof inventory === 'string') return [`${node}: ${inventory}`];
    return inventory.problems.map((problem) => `${node}: ${problem}`);
  });
}

function planVolume(uid: VolumeUid, found: readonly FoundReplica[], evidence: Evidence, { acceptLoss }: Choices): PlannedVolume {
  const stored = evidence.configs.get(uid) ?? null;
  const name = evidence.volumes.find(({ metadata }) => metadata.uid === uid)?.metadata.name ?? null;
  const hasTold = (node: NodeName): boolean => {
    const inventory = evidence.inventories.get(node);
    return inventory !== undefined && typeof inventory !== 'string' && inventory.problems.length === 0;
  };
  const acceptsLoss = acceptLoss.has(uid) || (name !== null && acceptLoss.has(name));
  return { uid, name, stored, verdict: rebuildVolume({ uid, name, found, stored: stored?.value ?? null, hasTold, acceptsLoss }) };
}

/** A Volume of which etcd and the pools know nothing, and which was there: its replicas are on machines that have not come. */
const hasBegun = ({ status }: VolumeObject): boolean => (status?.epoch ?? 0) > 0;

function straysOf(found: readonly FoundReplica[], volumes: readonly PlannedVolume[]): FoundReplica[] {
  const named = new Set(
    volumes.flatMap(({ verdict, stored }) => {
      const config = verdict.kind === 'rebuilt' ? verdict.config : (stored?.value ?? null);
      if (verdict.kind === 'refused') return [];
      return config?.shards.flatMap(({ members }) => members.map(({ replica }) => replica)) ?? [];
    }),
  );
  const decided = new Set(volumes.filter(({ verdict, name }) => verdict.kind !== 'refused' || name === null).map(({ uid }) => uid));
  return found.filter(({ volume, replica }) => volume !== null && decided.has(volume) && !named.has(replica));
}

/**
 * Some of it stands there: a single key was lost, a backup was restored, this was run before, or it is simply the wrong etcd. Adding to it is safe, each write compares; but
 * whoever thinks that all is lost should know that it is not.
 */
function notEmptyReason({ configs, recorded }: Evidence, { amends }: Choices): string | null {
  if (amends || configs.size + recorded.size === 0) return null;
  const held = `the configs of ${configs.size} volumes and the records of ${recorded.size} snapshots`;
  return `this etcd is not empty, it holds ${held}: --amend adds what is missing or known later by the replicas, and leaves what is sound as it is`;
}

export function planRecovery(evidence: Evidence, choices: Choices): Plan {
  const found = told(evidence).flatMap(({ node, replicas }) => replicas.map((replica): FoundReplica => ({ ...replica, node })));
  const kept = told(evidence).flatMap(({ node, snapshots }) => snapshots.map((part): KeptPart => ({ ...part, node })));
  const byVolume = Map.groupBy(found, ({ volume }) => volume);
  const begun = evidence.volumes.filter(hasBegun).map(({ metadata }) => metadata.uid as VolumeUid);
  const uids = new Set([...[...byVolume.keys()].filter((uid) => uid !== null), ...begun, ...evidence.configs.keys()]);
  const volumes = [...uids].sort().map((uid) => planVolume(uid, byVolume.get(uid) ?? [], evidence, choices));
  const lost = evidence.snapshots.filter(({ metadata }) => !evidence.recorded.has(metadata.uid));
  const snapshots = lost.flatMap((object): PlannedSnapshot[] => {
    const verdict = rebuildSnapshot(
      object,
      kept.filter(({ snapshot }) => snapshot === object.metadata.uid),
    );
    return verdict === null ? [] : [{ object, verdict }];
  });
  const notEmpty = notEmptyReason(evidence, choices);
  return { waitsFor: waitsFor(evidence, choices), notEmpty, volumes, snapshots, strays: straysOf(found, volumes) };
}

const refusedLines = ({ reasons, accepting }: Extract<Verdict, { kind: 'refused' }>, name: string): string[] => [
  ...reasons.map((reason) => `    ${reason}`),
  ...(accepting === null ? [] : [`    --accept-loss ${name} means: ${accepting}`]),
];

function volumeLines({ uid, name, verdict }: PlannedVolume): string[] {
  const title = `${name ?? 'no Volume'} (${uid})`;
  if (verdict.kind === 'sound') return [];
  if (verdict.kind === 'refused') return [`  refused  ${title}`, ...refusedLines(verdict, name ?? uid)];
  const { epoch, version, shards } = verdict.config;
  const members = shards.flatMap((shard) => shard.members.filter(({ replica }) => shard.inSync.includes(replica)).map(({ node }) => node));
  const notes = verdict.notes.map((each) => `    ${each}`);
  return [`  rebuilt  ${title}: epoch ${epoch}, version ${version}, in sync on ${[...new Set(members)].join(', ')}`, ...notes];
}

/** For people. */
export function describePlan(plan: Plan): string[] {
  const { waitsFor: missing, notEmpty, volumes, snapshots, strays } = plan;
  const sound = volumes.filter(({ verdict }) => verdict.kind === 'sound').length;
  return [
    ...(notEmpty === null || isNothingToDo(plan) ? [] : [`  refused  ${notEmpty}`]),
    ...missing.map((each) => `  waits for ${each} (or --without, if it will not come)`),
    ...(sound > 0 ? [`  ${sound} volumes need nothing`] : []),
    ...volumes.flatMap(volumeLines),
    ...snapshots.map(({ object: { metadata }, verdict }) =>
      verdict.kind === 'rebuilt' ? `  rebuilt  snapshot ${metadata.name}` : `  refused  snapshot ${metadata.name}: ${verdict.reason}`,
    ),
    ...strays.map(
      ({ replica, node, pool, volume }) =>
        `  stray    replica ${replica} of ${volume} on ${node}/${pool}: no config names it, its files stay`,
    ),
  ];
}

/** For programs. */
export const planReport = ({ waitsFor: missing, notEmpty, volumes, snapshots, strays }: Plan) => ({
  waitsFor: missing,
  notEmpty,
  volumes: volumes.map(({ uid, name, verdict }) => ({ uid, name, ...verdict })),
  snapshots: snapshots.map(({ object: { metadata }, verdict }) => ({ name: metadata.name, uid: metadata.uid, ...verdict })),
  strays: strays.map(({ replica, volume, node, pool }) => ({ replica, volume, node, pool })),
});

export const mayBeWritten = ({ waitsFor: missing, notEmpty }: Plan): boolean => missing.length === 0 && notEmpty === null;

/** Everybody was heard, and what etcd holds is all that there is. */
export const isNothingToDo = ({ waitsFor: missing, volumes, snapshots }: Plan): boolean =>
  missing.length === 0 && snapshots.length === 0 && volumes.every(({ verdict }) => verdict.kind === 'sound');

/** Something is left that only a person, or a machine that comes back, can mend. */
export const isIncomplete = ({ waitsFor: missing, volumes, snapshots }: Plan): boolean =>
  missing.length > 0 || [...volumes, ...snapshots].some(({ verdict }) => verdict.kind === 'refused');
