/**
 * Which volumes a pass looks at. Of ten thousand nearly all are at rest, and would be left as they are: those are looked at again when anything of theirs changed, when a
 * node did that they have to do with, and one after the other in five minutes, so that nothing that was overlooked stays so for long.
 *
 *   open     something is to be done, or waited for, or told as soon as a write of before has ended: looked at in every pass
 *   unsettled  at rest, but people do not see it yet: again after UNSETTLED_INTERVAL_MS
 *   pending  no place was found: when something changed that may help, and every PENDING_INTERVAL_MS; few at a time
 *   quiet    all others
 */
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { MachineState } from '../../core/machine.ts';
import type { StorageNodeObject } from '../api.ts';
import type { Difference } from '../observe/observe.ts';
import type { Observed, ObservedVolume } from '../observe/observed.ts';
import type { Decision, World } from '../volume/decision.ts';
import type { Unsettled } from './statuses.ts';

const ROUND_MS = 300_000;
const PENDING_INTERVAL_MS = 10_000;
/** A write to the API server that is under way changes the object, and that is noticed; one that failed is tried again. */
const UNSETTLED_INTERVAL_MS = 2_000;
/** Each may look at every node in vain. */
const PENDING_AT_ONCE_MAX = 100;

type VolumesOn = (node: NodeName) => ReadonlySet<VolumeUid>;
type Waiting = { askedMs: number; chance: number };

/** All but what changes with every write of a client. */
const lastingOf = (machine: MachineState | null): string =>
  JSON.stringify(machine && { ...machine, pools: machine.pools.map(({ usedBytes: _, allocatedBytes: __, ...pool }) => pool) });
const lastingOfNode = ({ metadata, spec }: StorageNodeObject): string =>
  JSON.stringify([spec, metadata.labels, metadata.annotations, metadata.deletionTimestamp]);

/** Less used, or less allocated: what did not fit may fit now. */
const hasShrunk = (before: MachineState | null, now: MachineState | null): boolean =>
  (now?.pools ?? []).some((pool) => {
    const then = before?.pools.find(({ name }) => name === pool.name);
    return then !== undefined && (pool.allocatedBytes < then.allocatedBytes || pool.usedBytes < then.usedBytes);
  });

/** One term of leadership. */
export class Attention {
  readonly #open = new Set<VolumeUid>();
  readonly #pending = new Map<VolumeUid, Waiting>();
  /** When they are due, the first one first. */
  readonly #unsettled = new Map<VolumeUid, number>();
  readonly #nodes = new Map<string, string>();
  #round: Iterator<VolumeUid> | null = null;
  #roundMs = Number.NEGATIVE_INFINITY;
  /** Rises with everything that may help those that wait for a place. */
  #chance = 0;

  due(observed: Observed, difference: Difference, volumesOn: VolumesOn, hasFreed: boolean, world: World): ObservedVolume[] {
    const due = new Set<VolumeUid>([...difference.volumes, ...this.#open]);
    const add = (uids: Iterable<VolumeUid>): void => {
      for (const uid of uids) due.add(uid);
    };
    if (hasFreed) this.#chance++;
    for (const [node, { before, now }] of difference.machines) {
      const isOther = lastingOf(before) !== lastingOf(now);
      if (isOther || hasShrunk(before, now)) this.#chance++;
      if (isOther) add(volumesOn(node));
    }
    for (const name of difference.storageNodes) if (this.#isOtherNode(name, observed)) add(volumesOn(name));
    for (const move of world.moves.values()) due.add(move.uid);
    if (difference.hasSnapshots) add(world.snapshots.byVolume.keys());
    for (const uid of difference.volumes) if (!observed.volumes.has(uid)) this.#forget(uid);
    add(sourcesOf(difference.volumes, observed, world));
    add(this.#pendingDue(world));
    add(this.#unsettledDue(world));
    add(this.#nextOfRound(observed, world.now.monotonicMs));
    return [...due].flatMap((uid) => observed.volumes.get(uid) ?? []);
  }

  /** `unsettled`: what people see of them is not yet what was decided. */
  note(decisions: ReadonlyMap<VolumeUid, Decision>, unsettled: ReadonlyMap<VolumeUid, Unsettled>, observed: Observed, world: World): void {
    for (const [uid, decision] of decisions) {
      this.#forget(uid);
      const volume = observed.volumes.get(uid);
      if (!volume) continue;
      const isWaiting = decision.state === 'unschedulable' && decision.actions.length === 0;
      if (isWaiting) this.#pending.set(uid, { askedMs: world.now.monotonicMs, chance: unsettled.has(uid) ? -1 : this.#chance });
      else if (!isQuiet(volume, decision, world) || unsettled.get(uid) === 'heldUp') this.#open.add(uid);
      else if (unsettled.has(uid)) this.#unsettled.set(uid, world.now.monotonicMs + UNSETTLED_INTERVAL_MS);
    }
  }

  #forget(uid: VolumeUid): void {
    this.#open.delete(uid);
    this.#pending.delete(uid);
    this.#unsettled.delete(uid);
  }

  /** Its status is written often, and concerns no volume. */
  #isOtherNode(name: string, observed: Observed): boolean {
    const object = observed.storageNodes.get(name);
    const before = this.#nodes.get(name);
    const now = object && lastingOfNode(object);
    if (now === before) return false;
    if (now === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, now);
    this.#chance++;
    return true;
  }

  /** Who waited longest for another try first. */
  #pendingDue({ now }: World): VolumeUid[] {
    return [...this.#pending]
      .filter(([, { askedMs, chance }]) => chance !== this.#chance || now.monotonicMs - askedMs >= PENDING_INTERVAL_MS)
      .sort(([, a], [, b]) => a.askedMs - b.askedMs)
      .slice(0, PENDING_AT_ONCE_MAX)
      .map(([uid]) => uid);
  }

  #unsettledDue({ now }: World): VolumeUid[] {
    const due: VolumeUid[] = [];
    for (const [uid, dueMs] of this.#unsettled) {
      if (dueMs > now.monotonicMs) break;
      due.push(uid);
    }
    return due;
  }

  *#nextOfRound({ volumes }: Observed, nowMs: number): Generator<VolumeUid> {
    const share = Math.min(1, (nowMs - this.#roundMs) / ROUND_MS);
    const count = Math.floor(volumes.size * share);
    if (count === 0 && share < 1) return;
    this.#roundMs = nowMs;
    for (let left = Math.max(1, count); left > 0; left--) {
      let next = this.#round?.next();
      if (next === undefined || next.done) {
        this.#round = volumes.keys();
        next = this.#round.next();
      }
      if (!next.done) yield next.value;
    }
  }
}

/** A volume at rest is asked for a snapshot of its own by each that starts from it, and may need a primary for that. */
function* sourcesOf(uids: Iterable<VolumeUid>, { volumes }: Observed, { snapshots }: World): Generator<VolumeUid> {
  for (const uid of uids) {
    const name = volumes.get(uid)?.object?.spec.source?.volume;
    const source = name === undefined ? undefined : snapshots.volumesByName.get(name);
    if (source) yield source.uid;
  }
}

/** Decided the same as long as nothing of its own changes, whatever the time. */
function isQuiet(volume: ObservedVolume, { state, actions }: Decision, world: World): boolean {
  if (actions.length > 0 || (state !== 'serving' && state !== 'detached') || volume.tasks.length > 0) return false;
  if (world.growTroubles.has(volume.uid)) return false;
  if ((world.snapshots.byVolume.get(volume.uid) ?? []).some(({ record }) => record === null)) return false;
  const shards = volume.config?.value.shards ?? [];
  return shards.every(({ members }) => members.every(({ node, leaving }) => !leaving && world.machines.has(node)));
}
