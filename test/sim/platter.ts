/**
 * What a replica's files hold, apart from any process: what is in the page cache, and what of it would survive the power. A piece's content is
 * one number, the value that a client gave it; 0 is zeroes.
 */
import type { ReplicaMeta, ReplicaStore } from '../../agent/ports.ts';
import { assert } from '../../core/assert.ts';
import { ExtentSet, extentCount } from '../../core/extent.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { ReplicaFiles, StoreTiming } from './files.ts';
import { PIECES_PER_EXTENT } from './layout.ts';
import { SimulatedStore } from './store.ts';

type Version = { serial: number; value: number };
/** Of one extent: its stamp and whether it may have data. */
export type Note = { stamp: number; mayHaveData: boolean };

export class Platter implements ReplicaFiles {
  readonly shard: number;
  extents: number;
  /** The first version of a piece is durable, the last is in the cache, and a power loss may leave any. */
  readonly #pieces = new Map<number, Version[]>();
  readonly #writtenOf: number[][] = [];
  #serial = 0;
  /** The intent log as in the cache, which is what a next process finds. */
  intents: ExtentSet;
  /** Taken out and not synced: they may come back. */
  readonly #removed = new Set<number>();
  /** Commits of the log, cleans and metas that have begun and not ended: each may have reached the disk or not. */
  readonly inProgress = new Set<() => void>();
  notes: Note[];
  meta: ReplicaMeta;
  /** Snapshots, by `<snapshot>.<attempt>`: the values of the pieces that were ever written. */
  readonly kept = new Map<string, ReadonlyMap<number, number>>();
  #store: SimulatedStore | null = null;

  constructor(meta: ReplicaMeta, shard: number) {
    this.meta = meta;
    this.shard = shard;
    this.extents = extentCount(meta.sizeBytes);
    this.intents = new ExtentSet(this.extents);
    this.notes = Array.from({ length: this.extents }, () => ({ stamp: 0, mayHaveData: false }));
  }

  get serial(): number {
    return this.#serial;
  }

  value(piece: number): number {
    return this.#pieces.get(piece)?.at(-1)?.value ?? 0;
  }

  durableValue(piece: number): number {
    return this.#pieces.get(piece)?.[0]?.value ?? 0;
  }

  isLogged(extent: number): boolean {
    return this.intents.has(extent);
  }

  mayBeLogged(extent: number): boolean {
    return this.intents.has(extent) || this.#removed.has(extent);
  }

  get logged(): number[] {
    return [...this.intents];
  }

  /** In memory while a process has it open. */
  stamp(extent: number): number {
    return this.#store?.stamp(extent) ?? this.notes[extent]?.stamp ?? 0;
  }

  open(bootId: string, timing: StoreTiming, opened: (store: ReplicaStore | null) => void): void {
    const store = new SimulatedStore(this, timing);
    this.#store = store;
    const { openBootId, suspect } = this.meta;
    if (openBootId === bootId) return opened(store);
    store.saveMeta({ ...this.meta, suspect: suspect || openBootId !== null, openBootId: bootId }, () => opened(store));
  }

  /** Everything here comes to its end by its own events. */
  pump(): void {
    return;
  }

  set(piece: number, value: number): void {
    const versions = this.#pieces.get(piece);
    const version = { serial: ++this.#serial, value };
    if (versions) versions.push(version);
    else this.#begin(piece, [{ serial: 0, value: 0 }, version]);
  }

  rot(piece: number, value: number): void {
    this.#begin(piece, [{ serial: 0, value }]);
  }

  /** All written up to that moment is durable. */
  makeDurable(serial: number): void {
    for (const versions of this.#pieces.values()) {
      let last = 0;
      for (let index = 0; index < versions.length; index++) if ((versions[index]?.serial ?? 0) <= serial) last = index;
      versions.splice(0, last);
    }
  }

  addIntents(extents: readonly number[]): void {
    for (const extent of extents) this.intents.add(extent);
    this.#removed.clear();
  }

  removeIntents(extents: readonly number[]): void {
    for (const extent of extents) {
      this.intents.delete(extent);
      this.#removed.add(extent);
    }
  }

  /** A snapshot: what every piece holds at this moment, durably. */
  keep(name: string): void {
    this.kept.set(name, new Map([...this.#pieces.keys()].map((piece) => [piece, this.value(piece)])));
  }

  /** The replica is as large as its meta says: there is room for what it has grown by. */
  grow(): void {
    this.extents = extentCount(this.meta.sizeBytes);
    this.intents.grow(this.extents);
    this.keepNotes(this.notes);
  }

  /** As of when the sync began; the replica may have grown since. */
  keepNotes(notes: Note[]): void {
    this.notes = notes;
    while (this.notes.length < this.extents) this.notes.push({ stamp: 0, mayHaveData: false });
  }

  written(extent: number): Iterable<number> {
    return this.#writtenOf[extent] ?? [];
  }

  killed(random: SeededRandom): void {
    this.#store = null;
    for (const finish of this.inProgress) if (random.chance(0.5)) finish();
    this.inProgress.clear();
  }

  powerLost(random: SeededRandom, tears: boolean): number {
    this.killed(random);
    let torn = 0;
    for (const [piece, versions] of this.#pieces) {
      // The halves of a block were always written together.
      const other = piece % 2 === 0 ? (this.#pieces.get(piece + 1) ?? versions) : null;
      if (!other) continue;
      const index = this.#survivorOf(random, versions);
      const isTorn = tears && random.chance(0.3);
      const otherIndex = isTorn ? this.#survivorOf(random, other) : index;
      if (index !== otherIndex) torn++;
      this.#leave(piece, versions, index);
      this.#leave(piece + 1, other, otherIndex);
    }
    for (const extent of this.#removed) if (random.chance(0.5)) this.intents.add(extent);
    this.#removed.clear();
    return torn;
  }

  #survivorOf(random: SeededRandom, versions: readonly Version[]): number {
    return random.chance(0.6) ? 0 : random.below(versions.length);
  }

  #leave(piece: number, versions: readonly Version[], index: number): void {
    const survivor = versions[index];
    assert(survivor, 'a piece has a version');
    this.#pieces.set(piece, [survivor]);
  }

  #begin(piece: number, versions: Version[]): void {
    if (!this.#pieces.has(piece)) {
      const extent = Math.floor(piece / PIECES_PER_EXTENT);
      const known = this.#writtenOf[extent];
      if (known) known.push(piece);
      else this.#writtenOf[extent] = [piece];
    }
    this.#pieces.set(piece, versions);
  }
}
