/**
 * A pool's files, cut, flipped, zeroed, lengthened, overwritten with each other, several at once. Must hold: the pool opens, or says why not and only where its
 * own file was damaged; each replica is served exactly as it was, or is refused with a sentence, and that only if a file of its own was touched; the same for
 * snapshots; a deleted replica does not come back; and what opened closes and opens again as the same.
 *
 * A frame is one piece of damage: 14 bytes, of which any value means something. Not damaged: bytes of `data` other than by its length: it has no checksums, a
 * flipped bit there is for scrubbing to find.
 */
import { crc32 } from 'node:zlib';
import { expect } from 'chai';
import type { Pool } from '../../../agent/pool/pool.ts';
import type { ReplicaStore } from '../../../agent/ports.ts';
import { assert as must } from '../../../core/assert.ts';
import { type ReplicaId, replicaId, snapshotUid } from '../../../core/ids.ts';
import { createIn, deleteFrom, openedPool, tryOpenPool } from '../../support/pools.ts';
import { finish, MIB, POOL } from '../../support/replicaFiles.ts';
import { SimulatedDisk } from '../../support/simulatedDisk.ts';
import type { Target } from '../engine.ts';
import type { Input } from '../input.ts';

/** One with data to look at, one with two pages of stamps, one that is deleted. */
const SMALL = replicaId('00000000000000a1');
const LARGE = replicaId('00000000000000a2');
const DELETED = replicaId('00000000000000a3');
const OWNERS: readonly string[] = [SMALL, LARGE];
const SMALL_BYTES = 2 * MIB;
const LARGE_BYTES = 481 * MIB;
const PAGE_BYTES = 4096;
const SECTOR_BYTES = 512;
/** Beyond an extent's beginning nothing is written. */
const WRITTEN_BYTES = 64 * 1024;
const FRAME_BYTES = 14;
const DAMAGES_MAX = 4;
const REASON_CHARACTERS_MIN = 10;

/** Of `data` only the size and what is not zero: `content` is empty. */
type File = { path: string; content: Buffer; data: { sizeBytes: number; pieces: { at: number; bytes: Buffer }[] } | null };
type Facts = { intents: number[]; stamps: string; promisedEpoch: number; sizeBytes: number; data: number[] };
type World = { disk: SimulatedDisk; directories: string[]; files: File[]; replicas: Map<ReplicaId, Facts>; snapshots: string[] };

function factsOf(store: ReplicaStore): Facts {
  const { sizeBytes, promisedEpoch } = store.meta;
  const extents = Array.from({ length: sizeBytes / MIB }, (_, extent) => extent);
  return {
    intents: [...store.intents],
    stamps: extents.map((extent) => `${store.stamp(extent)}${store.mayHaveData(extent) ? '+' : ''}`).join(' '),
    promisedEpoch,
    sizeBytes,
    data: sizeBytes === SMALL_BYTES ? extents.map((extent) => crc32(store.read(extent * MIB, WRITTEN_BYTES))) : [],
  };
}

function work(disk: SimulatedDisk, store: ReplicaStore, rounds: number): void {
  for (let round = 1; round <= rounds; round++) {
    const extents = [round % 2, store.meta.sizeBytes / MIB - 1 - (round % 2)];
    finish(disk, (done) => store.addIntents(extents, done));
    for (const extent of extents) {
      store.write(extent * MIB + round * 5_000, [Buffer.alloc(700, 0x40 + round)], 700);
      store.setStamp(extent, 100 + round);
    }
    if (round % 2 === 0) finish(disk, (done) => store.clean(extents.slice(1), () => true, done));
    finish(disk, (done) => store.saveMeta({ ...store.meta, promisedEpoch: round }, done));
  }
}

/** Made once: every run begins with a twin of its disk. */
function makeWorld(): World {
  const disk = new SimulatedDisk({ reflink: true });
  const pool = openedPool(disk);
  const make = (bytes: number, replica: ReplicaId): ReplicaStore => {
    const { store, error } = createIn(disk, pool, bytes, replica);
    if (!store) throw error ?? new Error('nothing was made');
    return store;
  };
  const small = make(SMALL_BYTES, SMALL);
  work(disk, small, 5);
  finish(disk, (done) => small.snapshot({ snapshot: snapshotUid('snapshot-1'), attempt: 1 }, done));
  work(disk, small, 6);
  work(disk, make(LARGE_BYTES, LARGE), 4);
  make(MIB, DELETED);
  const error = deleteFrom(disk, pool, DELETED);
  if (error) throw error;
  finish(disk, (done) => pool.close(done));
  const tree = readTree(disk, POOL);
  return { ...tree, disk: copyOf(tree), ...factsOfPool(openedPool(copyOf(tree))) };
}

function factsOfPool(pool: Pool): Pick<World, 'replicas' | 'snapshots'> {
  const replicas = new Map([...pool.stores].map(([replica, store]) => [replica, factsOf(store)]));
  return { replicas, snapshots: pool.snapshots.list().map((kept) => JSON.stringify(kept)) };
}

function readTree(disk: SimulatedDisk, directory: string): Pick<World, 'directories' | 'files'> {
  const tree: Pick<World, 'directories' | 'files'> = { directories: [directory], files: [] };
  for (const name of disk.list(directory)) {
    const path = `${directory}/${name}`;
    if (name === 'data') {
      tree.files.push({ path, content: Buffer.alloc(0), data: sparse(disk, path) });
      continue;
    }
    const content = disk.peek(path);
    if (content) tree.files.push({ path, content, data: null });
    else {
      const below = readTree(disk, path);
      tree.directories.push(...below.directories);
      tree.files.push(...below.files);
    }
  }
  return tree;
}

/** What `work` may have written lies in the first pages of extents. */
function sparse(disk: SimulatedDisk, path: string): NonNullable<File['data']> {
  const file = disk.openFile(path);
  const pieces: { at: number; bytes: Buffer }[] = [];
  for (let at = 0; at < file.sizeBytes(); at += MIB) {
    const bytes = Buffer.alloc(WRITTEN_BYTES);
    file.readAt(bytes, at);
    if (bytes.some((byte) => byte !== 0)) pieces.push({ at, bytes });
  }
  return { sizeBytes: file.sizeBytes(), pieces };
}

function copyOf({ directories, files }: Pick<World, 'directories' | 'files'>): SimulatedDisk {
  const disk = new SimulatedDisk();
  for (const directory of directories) if (directory !== POOL) disk.makeDirectory(directory);
  for (const { path, content, data } of files) {
    if (data === null) disk.tamper(path, content);
    else makeData(disk, path, data, data.sizeBytes);
  }
  return disk;
}

function makeData(disk: SimulatedDisk, path: string, { pieces }: NonNullable<File['data']>, sizeBytes: number): void {
  const file = disk.createFile(path);
  for (const { at, bytes } of pieces) file.writeAt([bytes], at);
  file.truncate(sizeBytes);
  file.close();
}

let world: World | null = null;

/** Does to a file what a frame says; gives its path, null where that changes nothing. */
function doDamage(disk: SimulatedDisk, frame: Buffer, { files }: World): string | null {
  const bytes = Buffer.concat([frame, Buffer.alloc(FRAME_BYTES)]);
  const file = files[bytes.readUInt8(0) % files.length];
  if (!file) return null;
  if (file.data) return damageData(disk, file.path, file.data, bytes);
  const content = disk.peek(file.path);
  if (content === null) return null; // it was removed by the damage before
  const damaged = damagedContent(content, bytes, strangers(file.path, files));
  if (damaged?.equals(content)) return null;
  disk.tamper(file.path, damaged);
  return file.path;
}

/** Whose content may be put into a file: not another version of the same one (`meta.next`, a snapshot's), which no checksum can tell from it. */
const strangers = (path: string, files: readonly File[]): File[] =>
  files.filter((file) => file.path === path || !OWNERS.some((owner) => path.includes(owner) && file.path.includes(owner)));

/** Removed, or of another length. */
function damageData(disk: SimulatedDisk, path: string, data: NonNullable<File['data']>, bytes: Buffer): string | null {
  if (!disk.exists(path)) return null;
  const isRemoved = bytes.readUInt8(1) % 4 === 0;
  const sizeBytes = Math.max(0, data.sizeBytes + bytes.readInt32LE(3));
  if (!isRemoved && sizeBytes === data.sizeBytes) return null;
  disk.tamper(path, null);
  if (!isRemoved) makeData(disk, path, data, sizeBytes);
  return path;
}

function damagedContent(content: Buffer, bytes: Buffer, files: readonly File[]): Buffer | null {
  const copy = Buffer.from(content);
  const unit = [1, SECTOR_BYTES, PAGE_BYTES][bytes.readUInt8(2) % 3] ?? 1;
  const place = (number: number, length: number): number => Math.floor((number % Math.max(1, length)) / unit) * unit;
  const at = place(bytes.readUInt32LE(3), copy.length);
  const lengthBytes = unit * (1 + (bytes.readUInt8(7) % 8));
  const end = Math.min(copy.length, at + lengthBytes);
  const value = bytes.readUInt8(8);
  const other = files[bytes.readUInt8(9) % files.length]?.content ?? copy;
  switch (bytes.readUInt8(1) % 7) {
    case 0:
      return copy.subarray(0, at);
    case 1:
      return Buffer.concat([copy, Buffer.alloc(lengthBytes, value)]);
    case 2:
      return null;
    case 3:
      if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (value || 1);
      return copy;
    case 4:
      return copy.fill(value % 2 === 0 ? 0 : 0xff, at, end);
    case 5:
      other.copy(copy, at, place(bytes.readUInt32LE(10), other.length), place(bytes.readUInt32LE(10), other.length) + lengthBytes);
      return copy;
    default:
      return Buffer.from(other);
  }
}

function run({ frames }: Input): void {
  world ??= makeWorld();
  const disk = world.disk.twin();
  const touched = new Set<string>();
  for (const frame of frames.slice(0, DAMAGES_MAX)) {
    const path = doDamage(disk, frame, world);
    if (path !== null) touched.add(path);
  }
  const { pool, error } = tryOpenPool(disk);
  if (!pool) {
    must(touched.has(`${POOL}/pool.json`), `the pool is refused for a file that is nothing to it: ${error?.message}`);
    return must((error?.message.length ?? 0) > REASON_CHARACTERS_MIN, 'a reason is a sentence');
  }
  judge(pool, world, touched);
  const served = factsOfPool(pool).replicas;
  finish(disk, (done) => pool.close(done));
  const again = openedPool(disk.killProcess());
  for (const [replica, facts] of served)
    expect(again.stores.has(replica) && factsOf(again.get(replica) as ReplicaStore)).to.deep.equal(facts);
}

const isTouched = (touched: ReadonlySet<string>, part: string): boolean => [...touched].some((path) => path.includes(part));

function judge(pool: Pool, { replicas, snapshots }: World, touched: ReadonlySet<string>): void {
  for (const [replica, facts] of replicas) {
    const store = pool.get(replica);
    if (store) {
      expect(factsOf(store), `replica ${replica}`).to.deep.equal(facts);
      continue;
    }
    must(isTouched(touched, `/replicas/${replica}/`), `${replica} is not served, and nobody touched it`);
    const reason = pool.unserved.find((each) => each.replica === replica)?.reason ?? '';
    must(reason.length > REASON_CHARACTERS_MIN, `why ${replica} is not served is a sentence: "${reason}"`);
  }
  must(pool.get(DELETED) === null, 'what was deleted does not come back');
  must(isTouched(touched, '/tombstones') || pool.tombstones.has(DELETED), 'what was deleted is remembered');
  must(pool.tombstones.has(DELETED) || pool.tombstones.problem !== null || !isThere(touched), 'or it is said that it is not');
  judgeSnapshots(pool, snapshots, touched);
}

/** A file of tombstones that is missing is that of a pool that has deleted nothing: no file can say that it was there. */
const isThere = (touched: ReadonlySet<string>): boolean => !touched.has(`${POOL}/tombstones`);

function judgeSnapshots(pool: Pool, snapshots: readonly string[], touched: ReadonlySet<string>): void {
  const found = pool.snapshots.list();
  expect(found.length, 'snapshots').to.equal(snapshots.length);
  for (const kept of found) {
    if (snapshots.includes(JSON.stringify(kept))) continue;
    must(isTouched(touched, '/snapshots/'), 'a snapshot that nobody touched is as it was');
    must((kept.problem?.length ?? 0) > REASON_CHARACTERS_MIN, 'what is wrong with a snapshot is a sentence');
  }
}

export const filesTarget: Target = {
  name: 'files',
  sources: /\/agent\/(replica\/store|pool)\//,
  seeds: () =>
    Array.from({ length: 98 }, (_, index) => ({
      choices: Buffer.from([0]),
      frames: [
        Buffer.from([
          index,
          Math.floor(index / 14),
          index % 3,
          index * 37,
          index,
          0,
          0,
          index,
          1 << (index % 8),
          index + 5,
          index,
          0,
          0,
          0,
        ]),
      ],
    })),
  run,
};
