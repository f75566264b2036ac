/**
 * Every volume that concerns this node, by the leader's pointers under `nodes/<me>/`. Must never believe a pointer: it only says that the config is worth reading; nor a bell
 * (`bells/<me>/`), which any agent may ring: it says the same of a volume that has a pointer.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { isVolumeUid, type NodeName, type ReplicaId, type VolumeUid, volumeUid } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { Entry, View } from '../../core/store.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import type { TellInForce } from './askers.ts';
import { whenAnswered } from './calls.ts';
import type { ExpectedReplica } from './pools.ts';
import { Volume, type VolumeOptions } from './volume.ts';
import { lackingOf } from './wholeness.ts';

/** Below the watch, while nobody proves that it is current: what it missed is found by a listing. */
const LIST_MS = 5_000;
/** While somebody does, a net below that proof. */
const LIST_CURRENT_MS = 60_000;
/** Far more than a node can serve; each costs a little memory. */
export const VOLUMES_MAX = 16_384;

export type VolumesOptions = VolumeOptions & { node: NodeName; clock: Clock };

export class Volumes {
  readonly #options: VolumesOptions;
  readonly #view: View;
  readonly #prefix: string;
  readonly #bells: View;
  readonly #bellPrefix: string;
  readonly #volumes = new Map<VolumeUid, Volume>();
  readonly #log: Log;
  #isListing = false;
  #listedAtMs: number;
  #isStopping = false;
  #isFull = false;

  constructor(options: VolumesOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#prefix = options.keys.pointersOf(options.node);
    this.#listedAtMs = options.clock.monotonicMs();
    this.#view = options.store.view(this.#prefix, () => this.#look(this.#view.entries.values()));
    this.#bellPrefix = options.keys.bellsOf(options.node);
    this.#bells = options.store.view(this.#bellPrefix, () => this.#hear(this.#bells.entries.values()));
  }

  get primaries(): number {
    return [...this.#volumes.values()].filter((volume) => volume.isServing).length;
  }

  /** Primaries that ended and still have a connection. */
  get endings(): number {
    return [...this.#volumes.values()].reduce((sum, volume) => sum + volume.endings, 0);
  }

  /** What learners still miss, of all volumes that are served here. */
  get resyncLeftBytes(): number {
    let left = 0;
    for (const volume of this.#volumes.values()) left += volume.resyncLeftBytes;
    return left;
  }

  configOf(uid: VolumeUid): VolumeConfig | null {
    return this.#volumes.get(uid)?.latest ?? null;
  }

  /** The config in force, for who has heard of a primary of that epoch; also of a volume of which nothing was heard. `tell` is called once (`Volume.ask`). */
  ask(uid: VolumeUid, epoch: number, tell: TellInForce): void {
    // One that is gone is not read again before it is forgotten.
    const volume = this.#volumes.get(uid) ?? this.#volume(uid);
    if (volume) volume.ask(epoch, tell);
    else tell({ config: null, isCurrent: false });
  }

  volumeOf(replica: ReplicaId): VolumeUid | null {
    for (const { uid, latest } of this.#volumes.values()) {
      if (latest?.shards.some((shard) => shard.members.some((member) => member.replica === replica))) return uid;
    }
    return null;
  }

  /** Replicas that the configs say are on this node and hold data: in sync, or out of it after having been in. */
  *replicasHere(): Iterable<ExpectedReplica> {
    for (const { uid, latest, isGone } of this.#volumes.values()) {
      if (isGone) continue;
      for (const { members, inSync } of latest?.shards ?? []) {
        for (const { node, replica, pool, leftAt } of members) {
          const hasData = inSync.includes(replica) || leftAt !== undefined;
          if (node === this.#options.node && hasData) yield { volume: uid, replica, pool };
        }
      }
    }
  }

  /** What of all that this node keeps and serves is not back since its agent started, in sentences (`wholeness.ts`). */
  lacking(failed: ReadonlySet<ReplicaId>): string[] {
    if (!this.#view.isCurrent) return ['which volumes concern this node is not known yet'];
    return [...this.#volumes.values()].flatMap(({ uid, latest, isGone, isServing }) => {
      if (isGone) return [];
      return latest === null ? [`the config of ${uid} is not read yet`] : lackingOf(latest, this.#options.node, isServing, failed);
    });
  }

  /** False: no primary of it runs here, and nothing will be called. */
  snapshot(uid: VolumeUid, request: SnapshotRequest, done: SnapshotDone): boolean {
    return this.#volumes.get(uid)?.snapshot(request, done) ?? false;
  }

  /** Every primary lets go, and none is started any more. */
  letGo(): void {
    this.#isStopping = true;
    for (const volume of this.#volumes.values()) volume.letGo();
  }

  /** At once. */
  stop(reason: string): void {
    this.#isStopping = true;
    for (const volume of this.#volumes.values()) volume.stop(reason);
  }

  close(): void {
    this.#view.close();
    this.#bells.close();
  }

  tick(nowMs: number): void {
    for (const [uid, volume] of this.#volumes) {
      volume.tick();
      if (volume.isForgettable) this.#volumes.delete(uid);
    }
    if (!this.#isListing && nowMs >= this.#listDueAtMs) this.#list(nowMs);
  }

  /** When a tick finds something to do, unless something is heard before. */
  get dueAtMs(): number {
    for (const volume of this.#volumes.values()) if (!volume.isResting) return 0;
    return this.#isListing ? Number.POSITIVE_INFINITY : this.#listDueAtMs;
  }

  get #listDueAtMs(): number {
    return this.#listedAtMs + (this.#view.isCurrent && this.#bells.isCurrent ? LIST_CURRENT_MS : LIST_MS);
  }

  #list(nowMs: number): void {
    this.#isListing = true;
    this.#listedAtMs = nowMs;
    const { store } = this.#options;
    whenAnswered(
      Promise.all([store.list(this.#prefix), store.list(this.#bellPrefix)]),
      ([pointers, bells]) => {
        this.#isListing = false;
        this.#look(pointers.entries);
        this.#hear(bells.entries);
      },
      () => {
        this.#isListing = false;
      },
    );
  }

  #look(entries: Iterable<Entry>): void {
    const pointed = new Set<VolumeUid>();
    for (const { key, value } of entries) {
      const uid = key.slice(this.#prefix.length);
      const version = Number(value);
      if (!isVolumeUid(uid) || !Number.isSafeInteger(version)) {
        this.#log.warn('pointer ignored', { key, value });
        continue;
      }
      pointed.add(volumeUid(uid));
      this.#volume(volumeUid(uid))?.pointedAt(version);
    }
    for (const [uid, volume] of this.#volumes) if (!pointed.has(uid)) volume.pointedAt(null);
  }

  #hear(entries: Iterable<Entry>): void {
    for (const { key, value } of entries) {
      const [uid, version] = [key.slice(this.#bellPrefix.length), Number(value)];
      if (isVolumeUid(uid) && Number.isSafeInteger(version)) this.#volumes.get(volumeUid(uid))?.rung(version);
    }
  }

  #volume(uid: VolumeUid): Volume | null {
    const known = this.#volumes.get(uid);
    // What was asked for and not there is forgotten with the next tick; a config that came since is a new beginning.
    if (known && !(known.isGone && known.isForgettable)) return known;
    if (this.#volumes.size >= VOLUMES_MAX) {
      if (!this.#isFull) this.#log.error('more volumes than this agent takes on', { volumesMax: VOLUMES_MAX, uid });
      this.#isFull = true;
      return null;
    }
    const volume = new Volume(uid, this.#options);
    if (this.#isStopping) volume.letGo();
    this.#volumes.set(uid, volume);
    return volume;
  }
}
