/**
 * What a simulated disk holds: files by sector and directories by name, each with what is durable and what is only in the cache. A power loss
 * takes any subset of what no sync has covered: of a file any sectors, each to any state it was in since; of a directory the last changes.
 */
import { SECTOR_BYTES } from '../../agent/replica/store/disk.ts';
import type { Random } from '../../core/random.ts';

/** What a power loss takes of what no sync has covered. */
export type Loss = 'everything' | 'nothing' | Random | RunLoss;
/** Runs of so many sectors, from a file's beginning on, share their fate. */
export type RunLoss = { random: Random; sectors: number };

/** States of a sector between two syncs that are kept for a power loss to choose from; the oldest go first. */
const VERSIONS_MAX = 4;
const ZEROES = new Uint8Array(SECTOR_BYTES);

type Version = { sequence: number; bytes: Uint8Array };
type Sector = { durable: Uint8Array; cached: Uint8Array; pending: Version[] };

/** Numbers every change, so that a sync can tell what came before it. */
export type Sequence = { last: number };

export class SimulatedInode {
  sizeBytes = 0;
  readonly #sequence: Sequence;
  readonly #sectors = new Map<number, Sector>();
  readonly #dirty = new Set<number>();
  #durableSizeBytes = 0;
  #syncs = 0;
  #sizeSyncedBy = 0;
  #syncing = 0;

  constructor(sequence: Sequence) {
    this.#sequence = sequence;
  }

  get usedBytes(): number {
    return this.#sectors.size * SECTOR_BYTES;
  }

  read(target: Uint8Array, offsetBytes: number): number {
    const length = Math.max(0, Math.min(target.length, this.sizeBytes - offsetBytes));
    target.fill(0, 0, length);
    // Most of a large range was never written.
    if (this.#sectors.size * SECTOR_BYTES < length) this.#readWritten(target, offsetBytes, length);
    else
      this.#each(offsetBytes, length, (index, start, end, at) => {
        const cached = this.#sectors.get(index)?.cached;
        if (cached) target.set(end - start === SECTOR_BYTES ? cached : cached.subarray(start, end), at);
      });
    return length;
  }

  write(source: Uint8Array, offsetBytes: number): void {
    this.#each(offsetBytes, source.length, (index, start, end, at) => {
      this.#put(index, this.#written(index, source.subarray(at, at + end - start), start));
    });
    this.sizeBytes = Math.max(this.sizeBytes, offsetBytes + source.length);
  }

  /** Only sectors that were ever written can hold anything else. */
  zero(offsetBytes: number, lengthBytes: number): void {
    const end = offsetBytes + lengthBytes;
    for (const [index, sector] of this.#sectors) {
      const from = Math.max(0, offsetBytes - index * SECTOR_BYTES);
      const to = Math.min(SECTOR_BYTES, end - index * SECTOR_BYTES);
      if (from < to) this.#put(index, new Uint8Array(sector.cached).fill(0, from, to));
    }
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) this.zero(sizeBytes, this.sizeBytes - sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  /** A new file with what is in the cache of this one. Until it is synced, a power loss may take any of it: more than a file system does. */
  shared(): SimulatedInode {
    const copy = new SimulatedInode(this.#sequence);
    copy.sizeBytes = this.sizeBytes;
    for (const [index, sector] of this.#sectors) copy.#put(index, sector.cached);
    return copy;
  }

  /** For checkers, which look at it after every event: the first four bytes of a sector in the cache, or as the worst power loss would leave them. */
  cachedWord(sector: number): number {
    const bytes = this.#sectors.get(sector)?.cached;
    return bytes ? firstWord(bytes) : 0;
  }

  durableWord(sector: number): number {
    const bytes = this.#sectors.get(sector)?.durable;
    return bytes ? firstWord(bytes) : 0;
  }

  /** In the order in which they were first written. */
  writtenSectors(): Iterable<number> {
    return this.#sectors.keys();
  }

  /** The content changes on the disk, behind everybody's back, and nothing of it is in the cache. Whole sectors. */
  rot(source: Uint8Array, offsetBytes: number): void {
    for (let at = 0; at < source.length; at += SECTOR_BYTES) {
      const bytes = source.slice(at, at + SECTOR_BYTES);
      this.#sectors.set((offsetBytes + at) / SECTOR_BYTES, { durable: bytes, cached: bytes, pending: [] });
    }
  }

  /** What a sync that begins now covers; call it with whether that sync succeeded. */
  beginSync(): (succeeded: boolean) => void {
    const upTo = this.#sequence.last;
    const { sizeBytes } = this;
    const number = ++this.#syncs;
    this.#syncing++;
    return (succeeded) => {
      this.#syncing--;
      for (const index of this.#dirty) this.#settle(index, upTo, succeeded);
      // One that began earlier may end later, and takes nothing back.
      if (!succeeded || number < this.#sizeSyncedBy) return;
      this.#durableSizeBytes = sizeBytes;
      this.#sizeSyncedBy = number;
    };
  }

  afterPowerLoss(loss: Loss, sequence: Sequence): SimulatedInode {
    const found = new SimulatedInode(sequence);
    found.sizeBytes = choose(loss, [this.#durableSizeBytes, this.sizeBytes]);
    found.#durableSizeBytes = found.sizeBytes;
    const lossAt = lossBySector(loss);
    for (const [index, sector] of this.#sectors) {
      if (index * SECTOR_BYTES >= found.sizeBytes) continue;
      const bytes = choose(lossAt(index), [sector.durable, ...sector.pending.map((version) => version.bytes)]);
      found.#sectors.set(index, { durable: bytes, cached: bytes, pending: [] });
    }
    return found;
  }

  #readWritten(target: Uint8Array, offsetBytes: number, length: number): void {
    for (const [index, { cached }] of this.#sectors) {
      const at = index * SECTOR_BYTES - offsetBytes;
      const start = Math.max(0, -at);
      const end = Math.min(SECTOR_BYTES, length - at);
      if (start < end) target.set(cached.subarray(start, end), at + start);
    }
  }

  /** What a sector becomes: a copy, for what it was may still be what a power loss leaves. */
  #written(index: number, part: Uint8Array, start: number): Uint8Array {
    if (part.length === SECTOR_BYTES) return new Uint8Array(part);
    const bytes = new Uint8Array(this.#sectors.get(index)?.cached ?? ZEROES);
    bytes.set(part, start);
    return bytes;
  }

  /** A failed sync marks what it covered clean: it is still in the cache, and no later sync writes it. */
  #settle(index: number, upTo: number, succeeded: boolean): void {
    const sector = this.#sectors.get(index);
    if (!sector) return;
    const covered = sector.pending.filter((version) => version.sequence <= upTo).at(-1);
    if (covered && succeeded) sector.durable = covered.bytes;
    sector.pending = sector.pending.filter((version) => version.sequence > upTo);
    if (sector.pending.length === 0) this.#dirty.delete(index);
  }

  #put(index: number, bytes: Uint8Array): void {
    let sector = this.#sectors.get(index);
    if (!sector) {
      sector = { durable: ZEROES, cached: ZEROES, pending: [] };
      this.#sectors.set(index, sector);
    }
    sector.cached = bytes;
    sector.pending.push({ sequence: ++this.#sequence.last, bytes });
    // While a sync runs, the version that it makes durable must not be forgotten.
    if (sector.pending.length > VERSIONS_MAX && this.#syncing === 0) sector.pending.shift();
    this.#dirty.add(index);
  }

  #each(offsetBytes: number, lengthBytes: number, visit: (index: number, start: number, end: number, at: number) => void): void {
    for (let at = 0; at < lengthBytes; ) {
      const position = offsetBytes + at;
      const start = position % SECTOR_BYTES;
      const end = Math.min(SECTOR_BYTES, start + lengthBytes - at);
      visit(Math.floor(position / SECTOR_BYTES), start, end, at);
      at += end - start;
    }
  }
}

export type SimulatedNode = SimulatedInode | SimulatedDirectory;
type Names = Map<string, SimulatedNode>;

export class SimulatedDirectory {
  readonly names: Names = new Map();
  readonly #sequence: Sequence;
  #durable: Names = new Map();
  #pending: { sequence: number; apply: (names: Names) => void }[] = [];

  constructor(sequence: Sequence) {
    this.#sequence = sequence;
  }

  change(apply: (names: Names) => void): void {
    apply(this.names);
    this.#pending.push({ sequence: ++this.#sequence.last, apply });
  }

  beginSync(): (succeeded: boolean) => void {
    const upTo = this.#sequence.last;
    return (succeeded) => {
      if (!succeeded) return;
      for (const { sequence, apply } of this.#pending) if (sequence <= upTo) apply(this.#durable);
      this.#pending = this.#pending.filter(({ sequence }) => sequence > upTo);
    };
  }

  /** Changes are kept in their order, as a journal does: some of the first survive, the others do not. */
  afterPowerLoss(loss: Loss, sequence: Sequence): SimulatedDirectory {
    const kept = choose(
      loss,
      Array.from({ length: this.#pending.length + 1 }, (_, count) => count),
    );
    const names: Names = new Map(this.#durable);
    for (const { apply } of this.#pending.slice(0, kept)) apply(names);
    const found = new SimulatedDirectory(sequence);
    for (const [name, node] of names) {
      const survivor = node.afterPowerLoss(loss, sequence);
      found.names.set(name, survivor);
      found.#durable.set(name, survivor);
    }
    return found;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const node of this.names.values()) bytes += node.usedBytes;
    return bytes;
  }
}

const firstWord = (bytes: Uint8Array): number =>
  ((bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8) | ((bytes[2] ?? 0) << 16) | ((bytes[3] ?? 0) << 24)) >>> 0;

function lossBySector(loss: Loss): (sector: number) => Loss {
  if (typeof loss === 'string' || !('sectors' in loss)) return () => loss;
  const drawn = new Map<number, Random>();
  return (sector) => {
    const run = Math.floor(sector / loss.sectors);
    const unit = loss.random.unit();
    const fate = drawn.get(run) ?? { unit: () => unit, hex: (length: number) => loss.random.hex(length) };
    drawn.set(run, fate);
    return fate;
  };
}

/** From the oldest, durable state to the newest, cached one. A sector whose sync failed is in the cache only and is not among them. */
function choose<State>(loss: Loss, states: readonly State[]): State {
  const index =
    loss === 'everything'
      ? 0
      : loss === 'nothing'
        ? states.length - 1
        : Math.floor(('sectors' in loss ? loss.random : loss).unit() * states.length);
  const state = states[index];
  if (state === undefined) throw new Error('a state was to be chosen out of none');
  return state;
}
