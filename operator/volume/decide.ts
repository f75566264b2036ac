/**
 * What to do about each volume, given all that is known: a pure function of (observed, now, randomness). Steps are asked in a fixed order; the first that
 * acts ends it, so there is at most one transaction a volume a pass. A step that only says how things are lets the later ones act: a volume that
 * cannot be attached is still repaired.
 */

import { isFresh } from '../../core/config.ts';
import type { VolumeUid } from '../../core/ids.ts';
import { traceIdFrom } from '../../core/trace.ts';
import { TRACEPARENT_ANNOTATION, type VolumeObject } from '../api.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { creationStep, finalizerStep, placeStep } from './begin.ts';
import { type Decision, note, type PlacedVolume, type Step, type World } from './decision.ts';
import { deletionStep, orphanStep } from './delete.ts';
import { growStep, judgeGrowth } from './grow.ts';
import { limitsStep } from './limits.ts';
import { countStep, minInSyncStep, removeLeftStep, unmadeStep } from './members.ts';
import { askedStep, moveStep } from './move.ts';
import { outdatedReason } from './outdated.ts';
import { backgroundStep, primaryStep } from './primary.ts';
import { awayStep, failedStep, quarantinedStep, removedStep } from './replace.ts';
import { archiveStep, refileStep, retryDeleteStep } from './tasks.ts';

type NewVolume = ObservedVolume & { object: VolumeObject };

const NEW_STEPS: readonly Step<NewVolume>[] = [finalizerStep, placeStep];

/** Availability first, then redundancy, then tidiness. */
const PLACED_STEPS: readonly Step<PlacedVolume>[] = [
  primaryStep,
  limitsStep,
  growStep,
  refileStep,
  failedStep,
  removedStep,
  awayStep,
  quarantinedStep,
  unmadeStep,
  removeLeftStep,
  countStep,
  moveStep,
  askedStep,
  minInSyncStep,
  retryDeleteStep,
  archiveStep,
  backgroundStep,
];
/** By what etcd holds, and by what was asked for when the API server was heard of last: no wish is begun, none is given up. */
const CARETAKER_STEPS: readonly Step<PlacedVolume>[] = [
  primaryStep,
  refileStep,
  failedStep,
  awayStep,
  quarantinedStep,
  unmadeStep,
  removeLeftStep,
  retryDeleteStep,
  archiveStep,
  backgroundStep,
];
/** Before the first in-sync set nothing but making the replicas is allowed. */
const CREATION_STEPS: readonly Step<PlacedVolume>[] = [refileStep, creationStep];

/**
 * It was served once, and etcd has nothing of it: the store was lost. Its replicas are on the disks; placed anew it would be empty. The epoch stays in its status
 * until it is recovered.
 */
export const isUnrecorded = ({ object, config }: ObservedVolume): boolean => config === null && (object?.status?.epoch ?? 0) > 0;
const UNRECORDED =
  'etcd has no config of it, and it was served before: the store was lost; its replicas are left as they are until recover has rebuilt it';

const unrecordedReason = ({ serving }: ObservedVolume): string =>
  serving === null ? UNRECORDED : `${UNRECORDED}; ${serving.node} serves it on until then, and nothing of it can change`;

const isPlaced = (volume: ObservedVolume): volume is PlacedVolume => volume.object !== null && volume.config !== null;
const isNew = (volume: ObservedVolume): volume is NewVolume => volume.object !== null;

function firstThatActs<Volume extends ObservedVolume>(
  steps: readonly Step<Volume>[],
  volume: Volume,
  world: World,
  traceId: string,
): Decision | null {
  let first: Decision | null = null;
  for (const step of steps) {
    const decision = step(volume, world, traceId);
    if (decision === null) continue;
    // How things are is what the first said that had anything to say: what people see shall not flicker because a later step acts.
    if (decision.actions.length > 0) return first === null ? decision : { ...first, actions: decision.actions };
    first ??= decision;
  }
  return first;
}

function atRest({ config }: PlacedVolume): Decision {
  const { primary } = config.value;
  return primary === null ? note('detached', 'nobody is to serve it') : note('serving', `${primary.node} is to serve it`);
}

/** Nothing is placed, and nothing deleted: what was asked for may not be what is asked for. */
function decideAsCaretaker(volume: ObservedVolume, world: World, traceId: string): Decision {
  if (!isNew(volume)) return note('gone', 'the API server is not heard of: whether it is gone will be asked');
  if (volume.object.metadata.deletionTimestamp) return note('deleting', 'the API server is not heard of: it is deleted afterwards');
  if (isUnrecorded(volume)) return note('unrecorded', unrecordedReason(volume));
  const outdated = outdatedReason(volume);
  if (outdated !== null) return note('outdated', outdated);
  if (!isPlaced(volume)) return note('new', 'the API server is not heard of: it is placed afterwards');
  const steps = isFresh(volume.config.value) ? CREATION_STEPS : CARETAKER_STEPS;
  return firstThatActs(steps, volume, world, traceId) ?? atRest(volume);
}

function decidePlaced(volume: PlacedVolume, world: World, traceId: string): Decision {
  judgeGrowth(volume, world);
  return firstThatActs(isFresh(volume.config.value) ? CREATION_STEPS : PLACED_STEPS, volume, world, traceId) ?? atRest(volume);
}

const traceOf = (volume: ObservedVolume, world: World): string =>
  traceIdFrom(volume.object?.metadata.annotations?.[TRACEPARENT_ANNOTATION], world.random);

export function decideVolume(volume: ObservedVolume, world: World): Decision {
  if (volume.damage !== null) return note('damaged', `nothing is done to it: ${volume.damage}`);
  const traceId = traceOf(volume, world);
  if (world.isCaretaker) return decideAsCaretaker(volume, world, traceId);
  if (!isNew(volume)) return orphanStep(volume, world, traceId) ?? note('gone', 'nothing is left of it');
  if (volume.object.metadata.deletionTimestamp) return deletionStep(volume, world, traceId) ?? note('deleting', 'it is being deleted');
  if (isUnrecorded(volume)) return note('unrecorded', unrecordedReason(volume));
  const outdated = outdatedReason(volume);
  if (outdated !== null) return note('outdated', outdated);
  if (isPlaced(volume)) return firstThatActs([finalizerStep], volume, world, traceId) ?? decidePlaced(volume, world, traceId);
  return firstThatActs(NEW_STEPS, volume, world, traceId) ?? note('new', 'waits to be placed');
}

/** The oldest first: what is scarce goes to whoever asked first, and always in the same order. */
export const byAge = (a: ObservedVolume, b: ObservedVolume): number => {
  const [left, right] = [a, b].map((volume) => `${volume.object?.metadata.creationTimestamp ?? ''}/${volume.uid}`);
  return (left ?? '') < (right ?? '') ? -1 : 1;
};

export function decideAll(volumes: Iterable<ObservedVolume>, world: World): Map<VolumeUid, Decision> {
  const decisions = new Map<VolumeUid, Decision>();
  for (const volume of [...volumes].sort(byAge)) decisions.set(volume.uid, decideVolume(volume, world));
  return decisions;
}
