/**
 * What a replica's files hold, apart from any process: what is in the page cache, and what of it would survive the power. A block's content is
 * one number, the value that a client gave it; 0 is zeroes.
 */

import type { ReplicaMeta } from '../../agent/ports.ts';
import { assert } from '../../core/assert.ts';
import { BLOCK_BYTES, EXTENT_BYTES, ExtentSet, extentCount } from '../../core/extent.ts';
import type { SeededRandom } from '../support/seededRandom.ts';

type Version = { serial: number; value: number };
/** Of one extent: its stamp and whether it may have data. */
export type Note = { stamp: number; mayHaveData: boolean };

export class Platter {
  extents: number;
  /** The first version of a block is durable, the last is in the cache, and a power loss may leave any. */
  readonly #blocks = new Map<number, Version[]>();
  #serial = 0;
  /** The intent log as in the cache, which is what a next process finds. */
  intents: ExtentSet;
  /** Taken out and not synced: they may come back. */
  readonly #removed = new Set<number>();
  /** Commits of the log, cleans and metas that have begun and not ended: each may have reached the disk or not. */
  readonly inProgress = new Set<() => void>();
  notes: Note[];
  meta: ReplicaMeta;
  /** Snapshots, by `<snapshot>.<attempt>`: the values of the blocks that were ever written. */
  readonly kept = new Map<string, ReadonlyMap<number, number>>();

  constructor(meta: ReplicaMeta) {
    this.meta = meta;
    this.extents = extentCount(meta.sizeBytes);
    this.intents = new ExtentSet(this.extents);
    this.notes = Array.from({ length: this.extents }, () => ({ stamp: 0, mayHaveData: false }));
  }

  get serial(): number {
    return this.#serial;
  }

  value(block: number): number {
    return this.#blocks.get(block)?.at(-1)?.value ?? 0;
  }

  durableValue(block: number): number {
    return this.#blocks.get(block)?.[0]?.value ?? 0;
  }

  set(block: number, value: number): void {
    const versions = this.#blocks.get(block);
    const version = { serial: ++this.#serial, value };
    if (versions) versions.push(version);
    else this.#blocks.set(block, [{ serial: 0, value: 0 }, version]);
  }

  /** All written up to that moment is durable. */
  makeDurable(serial: number): void {
    for (const versions of this.#blocks.values()) {
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

  /** A snapshot: what every block holds at this moment, durably. */
  keep(name: string): void {
    this.kept.set(name, new Map([...this.#blocks.keys()].map((block) => [block, this.value(block)])));
  }

  /** The replica is as large as its meta says: there is room for what it has grown by. */
  grow(): void {
    this.extents = extentCount(this.meta.sizeBytes);
    const intents = new ExtentSet(this.extents);
    for (const extent of this.intents) intents.add(extent);
    this.intents = intents;
    while (this.notes.length < this.extents) this.notes.push({ stamp: 0, mayHaveData: false });
  }

  /** Blocks that hold anything, of one extent or of all. */
  *written(extent: number | null = null): Iterable<number> {
    const blocksPerExtent = EXTENT_BYTES / BLOCK_BYTES;
    for (const block of this.#blocks.keys()) if (extent === null || Math.floor(block / blocksPerExtent) === extent) yield block;
  }

  /** The process is gone. What it had begun may have reached the cache or not. */
  killed(random: SeededRandom): void {
    for (const finish of this.inProgress) if (random.chance(0.5)) finish();
    this.inProgress.clear();
  }

  /** Any subset of what was not durable is gone. */
  powerLost(random: SeededRandom): void {
    this.killed(random);
    for (const [block, versions] of this.#blocks) {
      const survivor = random.chance(0.6) ? versions[0] : versions[random.below(versions.length)];
      assert(survivor, 'a block has a version');
      this.#blocks.set(block, [survivor]);
    }
    for (const extent of this.#removed) if (random.chance(0.5)) this.intents.add(extent);
    this.#removed.clear();
  }
}

/** Whether two replicas hold the same in an extent. */
export function isEqual(one: Platter, other: Platter, extent: number): boolean {
  for (const block of one.written(extent)) if (one.value(block) !== other.value(block)) return false;
  for (const block of other.written(extent)) if (one.value(block) !== other.value(block)) return false;
  return true;
}
