/**
 * What the leader would do about a node that is to be emptied: its own rules (operator/volume/move.ts), asked over what stands in Kubernetes until they have nothing
 * more to do. What only the leader knows is not there: which nodes it leaves alone for a while because something failed on them. Pure.
 */
import type { Member, VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import type { NodeName } from '../../core/ids.ts';
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import type { PlacementLimits } from '../../operator/placement/checks.ts';
import { placeShards } from '../../operator/placement/place.ts';
import { parseQuantity } from '../../operator/quantity.ts';
import { byAge } from '../../operator/volume/decide.ts';
import type { Decision, PlacedVolume, World } from '../../operator/volume/decision.ts';
import { departureOf } from '../../operator/volume/departures.ts';
import { askedStep, moveStep } from '../../operator/volume/move.ts';
import { staying } from '../../operator/volume/shards.ts';
import { placed, worldAround } from './cluster.ts';

/** `to`: node and pool; null: it cannot leave, for this reason. */
export type Move = { volume: string; shard: number; replica: string; sizeBytes: number; to: string | null; reason: string | null };

const TRACE = '';
/** Up to as many as a volume may have, and replicas of all of them together (crds/volume.yaml). */
const SHARDS_TRIED = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const REPLICAS_IN_ALL_MAX = 256;

function configIn(decision: Decision, { config }: PlacedVolume): VolumeConfig | null {
  for (const action of decision.actions) {
    if (action.kind !== 'commit') continue;
    const change = action.transaction.changes.find((one) => 'put' in one && one.put === config.key);
    if (change && 'value' in change) return JSON.parse(change.value) as VolumeConfig;
  }
  return null;
}

type Step = { index: number; gone: Member; made: Member; after: VolumeConfig };

/** The move as it is when it has ended: the new one in sync, the old one gone. Null: no member was added. */
function ended(volume: PlacedVolume, decided: VolumeConfig, world: World): Step | null {
  for (const [index, shard] of decided.shards.entries()) {
    const before = volume.config.value.shards[index] ?? { members: [], inSync: [] };
    const made = shard.members.find(({ replica }) => !before.members.some((member) => member.replica === replica));
    const gone = made && staying(before).find((member) => departureOf(volume, member, world) !== null);
    if (!made || !gone) continue;
    const members = shard.members.filter(({ replica }) => replica !== gone.replica);
    const inSync = [...shard.inSync.filter((replica) => replica !== gone.replica), made.replica];
    const shards = decided.shards.map((one, at) => (at === index ? { members, inSync } : one));
    return { index, gone, made, after: { ...decided, shards } };
  }
  return null;
}

const isGoing = ({ object }: PlacedVolume): boolean => object.metadata.deletionTimestamp !== undefined;
/** The leader moves nothing of a volume before its first replicas are there. */
const isMade = ({ config }: PlacedVolume): boolean => config.value.shards.every(({ inSync }) => inSync.length > 0);

/** One pass of the leader's: each volume's next move, all told apart from what they change, which the next pass sees. */
function pass(volumes: PlacedVolume[], world: World): { volume: PlacedVolume; step: Step }[] {
  world.ledger.beginPass();
  world.blocked.clear();
  return volumes.flatMap((volume) => {
    const decision = moveStep(volume, world, TRACE);
    const decided = decision && configIn(decision, volume);
    const step = decided && ended(volume, decided, world);
    return step ? [{ volume, step }] : [];
  });
}

/** Why the leader would refuse the move that `asked` asks for by its annotation; null: it would not, as things are now. */
export function refusalOf(
  asked: VolumeObject,
  objects: readonly VolumeObject[],
  nodes: readonly StorageNodeObject[],
  limits: PlacementLimits,
): string | null {
  const { uid } = asked.metadata;
  const volumes = objects.map((object) => placed(object.metadata.uid === uid ? asked : object));
  const world = worldAround('', volumes, nodes, limits);
  const volume = volumes.find((one) => one.uid === uid);
  const decisions = volume ? [moveStep, askedStep].map((step) => step(volume, world, TRACE)) : [];
  const refusal = decisions.flatMap((decision) => decision?.actions ?? []).find(({ kind }) => kind === 'removeAnnotation');
  return refusal?.kind === 'removeAnnotation' && refusal.event.type === 'Warning' ? refusal.event.note : null;
}

/** How many shards would make a volume fit that does not; null: no number of them. */
export function shardsThatFit(
  object: VolumeObject,
  objects: readonly VolumeObject[],
  nodes: readonly StorageNodeObject[],
  limits: PlacementLimits,
): number | null {
  const world = worldAround('', objects.map(placed), nodes, limits);
  const { size, replicas, placement, attachTo } = object.spec;
  const rest = { rules: placement, taken: [], crowd: new Map(), preferred: attachTo || null, avoided: new Map() };
  const fits = (shards: number): boolean => {
    const requests = Array.from({ length: shards }, (_, index) => ({
      replicas,
      sizeBytes: shardBytes(parseQuantity(size) ?? 0, shards, index),
      only: null,
    }));
    world.ledger.beginPass();
    return placeShards(requests, rest, world.nodes, world.ledger, limits).places !== null;
  };
  return SHARDS_TRIED.find((shards) => shards * replicas <= REPLICAS_IN_ALL_MAX && fits(shards)) ?? null;
}

/** Where what is on `drained` would go, in the order in which the leader would take it. */
export function forecast(
  drained: NodeName,
  objects: readonly VolumeObject[],
  nodes: readonly StorageNodeObject[],
  limits: PlacementLimits,
): Move[] {
  const all = objects.map(placed);
  const world = worldAround(drained, all, nodes, limits);
  const volumes = all.filter((volume) => !isGoing(volume) && isMade(volume)).sort(byAge);
  const moves: Move[] = [];
  let moving = volumes;
  // Each pass takes replicas from nodes that are to be emptied and brings none there, so there is a last one.
  while (moving.length > 0) {
    const steps = pass(moving, world);
    world.ledger.beginPass();
    for (const { volume, step } of steps) {
      if (step.gone.node === drained) moves.push(moveOf(volume, step.index, step.gone, `${step.made.node}/${step.made.pool}`, null));
      world.ledger.replace(volume.config.value, step.after);
      volume.config = { ...volume.config, value: step.after };
    }
    moving = steps.map(({ volume }) => volume);
  }
  return [...moves, ...stuck(drained, all, world, volumes)];
}

/** What is still there when nothing more can be done, each with the leader's sentence. */
function stuck(drained: NodeName, all: readonly PlacedVolume[], world: World, volumes: PlacedVolume[]): Move[] {
  pass(volumes, world);
  const told = Map.groupBy(world.blocked.get(drained) ?? [], ({ uid }) => uid);
  return all
    .filter((volume) => !isGoing(volume))
    .flatMap((volume) => {
      const left = volume.config.value.shards.flatMap((shard, index) =>
        staying(shard).flatMap((member) => (member.node === drained ? [{ member, index }] : [])),
      );
      // One of each shard, shard after shard, as they were asked.
      const reasons = told.get(volume.uid) ?? [];
      return left.map(({ member, index }, at) =>
        moveOf(volume, index, member, null, (reasons[at] ?? reasons[0])?.reason ?? elseReason(volume)),
      );
    });
}

function elseReason(volume: PlacedVolume): string {
  if (!isMade(volume)) return 'it is being made; its replicas leave after that';
  return `something else comes first (kubectl holdfast explain ${volume.object.metadata.name})`;
}

function moveOf({ object, config }: PlacedVolume, shard: number, { replica }: Member, to: string | null, reason: string | null): Move {
  const sizeBytes = shardBytes(config.value.sizeBytes, config.value.shards.length, shard);
  return { volume: object.metadata.name, shard, replica, sizeBytes, to, reason };
}
