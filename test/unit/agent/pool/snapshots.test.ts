/** Snapshots in a pool: kept beside the replicas, replaced by later attempts, deleted for ever, and what replicas that begin as copies hold. */
import { expect } from 'chai';
import type { Pool } from '../../../../agent/pool/pool.ts';
import type { KeptSnapshot } from '../../../../agent/pool/snapshots.ts';
import type { IoError, ReplicaStore } from '../../../../agent/ports.ts';
import { EXTENT_BYTES } from '../../../../core/extent.ts';
import { replicaId, type SnapshotUid, snapshotUid } from '../../../../core/ids.ts';
import type { CloneSource } from '../../../../core/task.ts';
import { atEveryCrash } from '../../../support/everyCrash.ts';
import { createIn, openedPool } from '../../../support/pools.ts';
import { errorOf, finish, MIB, newReplica, Outcome, outcome, POOL, REPLICA, VOLUME } from '../../../support/replicaFiles.ts';
import { SimulatedDisk } from '../../../support/simulatedDisk.ts';

const SIZE = 3 * MIB;
const SNAPSHOT = snapshotUid('5f0e-a1');
const CLONE = replicaId('00000000000000cc');
const BLOCK = 4096;
const SNAPSHOTS = `${POOL}/snapshots`;
const LATER: Partial<Parameters<typeof openedPool>[1]> = { bootId: 'boot-2' };

type Options = ConstructorParameters<typeof SimulatedDisk>[0];

function write(disk: SimulatedDisk, store: ReplicaStore, extent: number, value: number): void {
  finish(disk, (done) => store.addIntents([extent], done));
  store.write(extent * EXTENT_BYTES, [Buffer.alloc(BLOCK, value)], BLOCK);
  store.setStamp(extent, value);
}

const valueAt = (store: ReplicaStore, extent: number): number => store.read(extent * EXTENT_BYTES, BLOCK).readUInt8(BLOCK - 1);

/** A pool with a replica that holds 1 in its extent 1. */
function fresh(options: Options = {}): { disk: SimulatedDisk; pool: Pool; store: ReplicaStore } {
  const disk = new SimulatedDisk({ reflink: true, ...options });
  const pool = openedPool(disk);
  const { store } = createIn(disk, pool, SIZE);
  if (!store) throw new Error('no replica');
  write(disk, store, 1, 1);
  finish(disk, (done) => store.flush(done));
  return { disk, pool, store };
}

const keep = (disk: SimulatedDisk, store: ReplicaStore, attempt: number, snapshot: SnapshotUid = SNAPSHOT): IoError | null =>
  errorOf(disk, (done) => store.snapshot({ snapshot, attempt }, done));

const names = (disk: SimulatedDisk): string[] => disk.list(SNAPSHOTS);
const nameOf = (attempt: number): string => `${SNAPSHOT}.${attempt}.${REPLICA}`;
const sourceOf = (attempt: number): CloneSource => ({ snapshot: SNAPSHOT, attempt, replica: REPLICA });

function clone(disk: SimulatedDisk, pool: Pool, attempt: number, sizeBytes = SIZE): { error: IoError | null; store: ReplicaStore | null } {
  const ended = new Outcome<[IoError | null, ReplicaStore | null]>();
  pool.createReplica({ ...newReplica(sizeBytes), replica: CLONE, source: sourceOf(attempt) }, ended.done);
  disk.drain();
  const [error, store] = ended.result;
  return { error, store };
}

describe('a snapshot in a pool', () => {
  it('is kept, listed, and found after a restart; what is written later is not in it', () => {
    const { disk, pool, store } = fresh();
    expect(keep(disk, store, 4)).to.equal(null);
    write(disk, store, 1, 2);
    const kept: KeptSnapshot = { snapshot: SNAPSHOT, attempt: 4, replica: REPLICA, volume: VOLUME, sizeBytes: SIZE, problem: null };
    expect(pool.snapshots.list()).to.deep.equal([kept]);
    expect(disk.list(`${SNAPSHOTS}/${nameOf(4)}`)).to.deep.equal(['data', 'meta', 'stamps']);
    const next = disk.losePower('everything');
    const again = openedPool(next, LATER);
    expect(again.snapshots.list()).to.deep.equal([kept]);
    const { store: copy } = clone(next, again, 4);
    expect(copy && valueAt(copy, 1)).to.equal(1);
  });

  it('kept again by the same attempt stays as it is; a later attempt takes its place, an earlier one is refused', () => {
    const { disk, pool, store } = fresh();
    expect(keep(disk, store, 4)).to.equal(null);
    write(disk, store, 1, 2);
    expect(keep(disk, store, 4)).to.equal(null);
    const { store: copy } = clone(disk, pool, 4);
    expect(copy && valueAt(copy, 1)).to.equal(1);
    expect(keep(disk, store, 6)).to.equal(null);
    expect(names(disk)).to.deep.equal([nameOf(6)]);
    expect(keep(disk, store, 5)?.message).to.equal(`attempt 6 of snapshot ${SNAPSHOT} is there already, which is later than 5`);
    expect(keep(disk, store, 1, snapshotUid('other'))).to.equal(null);
    expect(names(disk)).to.have.length(2);
  });

  it('is refused with a sentence where the file system cannot share blocks', () => {
    const unsupported = 'snapshots: unsupported on pool fast (its file system cannot share blocks)';
    const { disk, pool, store } = fresh({ reflink: false });
    expect(keep(disk, store, 1))
      .to.include({ code: 'notSupported' })
      .and.have.property('message', unsupported);
    const other = fresh();
    other.disk.fail({ call: 'reflink', code: 'EOPNOTSUPP' });
    expect(keep(other.disk, other.store, 1))
      .to.include({ code: 'notSupported' })
      .and.have.property('message', unsupported);
    expect([names(disk), names(other.disk)]).to.deep.equal([[], []]);
    expect([pool.report().state, other.pool.report().state]).to.deep.equal(['ready', 'ready']);
  });

  it('that a full disk has no room for leaves nothing, and no quarantine; one that the disk fails under does', () => {
    for (const call of ['createFile', 'write', 'syncAll', 'rename', 'reflink'] as const) {
      const full = fresh();
      full.disk.fail({ call, code: 'ENOSPC', path: /snapshots|replicas.*data/, times: 1 });
      expect(keep(full.disk, full.store, 1), call).to.include({ code: 'noSpace' });
      expect([names(full.disk), full.pool.report().state], call).to.deep.equal([[], 'ready']);
      const broken = fresh();
      broken.disk.fail({ call, code: 'EIO', path: /snapshots|replicas.*data/, times: 1 });
      expect(keep(broken.disk, broken.store, 1), call).to.include({ code: 'io' });
      expect(broken.pool.report().state, call).to.equal('quarantined');
      expect(keep(broken.disk, broken.store, 2)?.message, call).to.match(/^pool fast is quarantined: /);
      expect(valueAt(broken.store, 1), 'the replica goes on').to.equal(1);
    }
  });

  it('is deleted with all its attempts and for ever', () => {
    const { disk, pool, store } = fresh();
    expect([keep(disk, store, 4), keep(disk, store, 1, snapshotUid('other'))]).to.deep.equal([null, null]);
    for (let time = 0; time < 2; time++) finish(disk, (done) => pool.deleteSnapshot(SNAPSHOT, done));
    expect(names(disk)).to.deep.equal([`other.1.${REPLICA}`]);
    const refused = `snapshot ${SNAPSHOT} was deleted in pool fast, and an id is never used again`;
    expect(keep(disk, store, 5)?.message).to.equal(refused);
    const next = disk.losePower('everything');
    const again = openedPool(next, LATER);
    expect(again.get(REPLICA) && keep(next, again.get(REPLICA) as ReplicaStore, 6)?.message).to.equal(refused);
  });

  it('that is being kept while it is deleted is gone all the same', () => {
    for (let steps = 0; steps < 12; steps++) {
      const { disk, pool, store } = fresh();
      const [kept, deleted] = [outcome(), outcome()];
      store.snapshot({ snapshot: SNAPSHOT, attempt: 4 }, kept.done);
      for (let step = 0; step < steps; step++) disk.completeNext();
      pool.deleteSnapshot(SNAPSHOT, deleted.done);
      for (let step = 0; disk.completeNext(step % 2); step++);
      disk.drain();
      expect(deleted.result).to.deep.equal([null]);
      expect(kept.isCalled).to.equal(true);
      expect(names(disk), `after ${steps} steps`).to.deep.equal([]);
    }
  });

  it('whose files are damaged is told by its problem, and is no source for a copy', () => {
    const { disk, pool, store } = fresh();
    expect(keep(disk, store, 4)).to.equal(null);
    disk.tamper(`${SNAPSHOTS}/${nameOf(4)}/stamps`, Buffer.alloc(8192));
    expect(clone(disk, pool, 4).error?.message).to.match(/^snapshot 5f0e-a1 of replica .* in pool fast is damaged: stamps: page 0/);
    disk.tamper(`${SNAPSHOTS}/${nameOf(4)}/meta`, Buffer.from('{}'));
    expect(pool.snapshots.list()[0]?.problem).to.equal('its first line has no end');
    expect(clone(disk, pool, 4).error?.message).to.match(/attempt 4: its first line has no end$/);
    expect(clone(disk, pool, 5).error?.message).to.match(/attempt 5: it is missing$/);
    expect([pool.get(CLONE), disk.list(`${POOL}/replicas`)]).to.deep.equal([null, [REPLICA]]);
  });
});

describe('a replica that begins as a copy of a snapshot', () => {
  it('holds what was kept, stamped with 1 wherever anything was written, and its blocks are its own', () => {
    const { disk, pool, store } = fresh();
    write(disk, store, 0, 7);
    finish(disk, (done) => store.addIntents([0, 2], done));
    store.zero(0, EXTENT_BYTES, true);
    finish(disk, (done) => store.flush(done));
    expect(keep(disk, store, 4)).to.equal(null);
    const { store: copy } = clone(disk, pool, 4);
    if (!copy) throw new Error('no copy');
    expect([0, 1, 2].map((extent) => copy.stamp(extent))).to.deep.equal([1, 1, 0]);
    expect([0, 1, 2].map((extent) => copy.mayHaveData(extent))).to.deep.equal([false, true, false]);
    expect([copy.intents.size, [...copy.changedSince(0)]]).to.deep.equal([0, [0, 1]]);
    write(disk, copy, 1, 9);
    write(disk, store, 1, 8);
    expect([valueAt(copy, 1), valueAt(store, 1)]).to.deep.equal([9, 8]);
    expect(copy.meta).to.deep.include({ replica: CLONE, sizeBytes: SIZE, config: null, promisedEpoch: 0, suspect: false });
  });

  it('may be larger, with zeroes behind; smaller only where nothing was written', () => {
    const { disk, pool, store } = fresh();
    expect(keep(disk, store, 4)).to.equal(null);
    expect(clone(disk, pool, 4, MIB).error?.message).to.match(/holds more than a copy of 1 MiB has room for$/);
    const { store: copy } = clone(disk, pool, 4, 900 * MIB);
    if (!copy) throw new Error('no copy');
    expect([valueAt(copy, 1), valueAt(copy, 899), copy.intents.extents, copy.stamp(899)]).to.deep.equal([1, 0, 900, 0]);
    const smaller = fresh();
    expect(keep(smaller.disk, smaller.store, 4)).to.equal(null);
    const { store: cut } = clone(smaller.disk, smaller.pool, 4, 2 * MIB);
    expect(cut && [valueAt(cut, 1), cut.meta.sizeBytes]).to.deep.equal([1, 2 * MIB]);
  });

  it('stays what it is when the snapshot is deleted, or the replica that it was made of', () => {
    const { disk, pool, store } = fresh();
    expect(keep(disk, store, 4)).to.equal(null);
    clone(disk, pool, 4);
    finish(disk, (done) => pool.deleteSnapshot(SNAPSHOT, done));
    finish(disk, (done) => pool.deleteReplica(REPLICA, done));
    const again = openedPool(disk.losePower('everything'), LATER);
    const copy = again.get(CLONE);
    expect(copy && valueAt(copy, 1)).to.equal(1);
  });
});

describe('a crash around a snapshot', () => {
  it('while it is kept: it is there, whole, or not at all; the replica is as it was', () => {
    let isTold = false;
    const seen = { there: 0, gone: 0 };
    const prepare = () => {
      const { disk, store } = fresh();
      isTold = false;
      const act = () =>
        store.snapshot({ snapshot: SNAPSHOT, attempt: 4 }, (error) => {
          isTold = error === null;
        });
      return { disk, act };
    };
    const points = atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk, LATER);
      expect(names(disk), what).to.deep.equal(pool.snapshots.list().length === 1 ? [nameOf(4)] : []);
      if (isTold) expect(names(disk), what).to.deep.equal([nameOf(4)]);
      seen[names(disk).length === 1 ? 'there' : 'gone']++;
      const store = pool.get(REPLICA) as ReplicaStore;
      expect([pool.unserved, valueAt(store, 1)], what).to.deep.equal([[], 1]);
      if (names(disk).length === 0) expect(keep(disk, store, 4), what).to.equal(null);
      const later = disk.losePower('everything');
      const { store: copy } = clone(later, openedPool(later, { bootId: 'boot-3' }), 4);
      expect(copy && [valueAt(copy, 1), copy.stamp(1)], what).to.deep.equal([1, 1]);
    });
    expect(points).to.be.above(10);
    expect([seen.there > 5, seen.gone > 5]).to.deep.equal([true, true]);
  }).timeout(60_000);

  it('while a later attempt takes its place: one of the two is there, the later if it was told', () => {
    let isTold = false;
    const prepare = () => {
      const { disk, store } = fresh();
      expect(keep(disk, store, 4)).to.equal(null);
      isTold = false;
      const act = () =>
        store.snapshot({ snapshot: SNAPSHOT, attempt: 5 }, (error) => {
          isTold = error === null;
        });
      return { disk, act };
    };
    atEveryCrash(prepare, (disk, what) => {
      openedPool(disk, LATER);
      expect(names(disk), what).to.have.length(1);
      if (isTold) expect(names(disk), what).to.deep.equal([nameOf(5)]);
    });
  }).timeout(60_000);

  it('while it is deleted: it is whole, or gone for ever', () => {
    let isTold = false;
    const prepare = () => {
      const { disk, pool, store } = fresh();
      expect(keep(disk, store, 4)).to.equal(null);
      isTold = false;
      const act = () =>
        pool.deleteSnapshot(SNAPSHOT, (error) => {
          isTold = error === null;
        });
      return { disk, act };
    };
    atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk, LATER);
      if (isTold) expect(names(disk), what).to.deep.equal([]);
      if (names(disk).length > 0) {
        expect(pool.snapshots.list()[0]?.problem, what).to.equal(null);
        finish(disk, (done) => pool.deleteSnapshot(SNAPSHOT, done));
      }
      const again = openedPool(disk.losePower('everything'), { bootId: 'boot-3' });
      expect(again.snapshots.list(), what).to.deep.equal([]);
    });
  }).timeout(60_000);

  it('while a copy is made: it is there with all that was kept, or not at all, and can be made then', () => {
    let isTold = false;
    const prepare = () => {
      const { disk, pool, store } = fresh();
      expect(keep(disk, store, 4)).to.equal(null);
      isTold = false;
      const act = () =>
        pool.createReplica({ ...newReplica(5 * MIB), replica: CLONE, source: sourceOf(4) }, (error) => {
          isTold = error === null;
        });
      return { disk, act };
    };
    const points = atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk, LATER);
      if (isTold) expect(pool.get(CLONE), what).not.to.equal(null);
      const { error, store } = clone(disk, pool, 4, 5 * MIB);
      expect(error, what).to.equal(null);
      expect(store && [valueAt(store, 1), store.stamp(1), store.stamp(4)], what).to.deep.equal([1, 1, 0]);
      const later = disk.losePower('everything');
      const found = openedPool(later, { bootId: 'boot-3' }).get(CLONE);
      expect(found && valueAt(found, 1), what).to.equal(1);
    });
    expect(points).to.be.above(15);
  }).timeout(60_000);
});
