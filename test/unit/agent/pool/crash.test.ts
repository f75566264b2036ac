/**
 * Every point at which the power can go, or the process, while a pool is made, a replica created or deleted, or leftovers removed: with
 * everything lost that no sync covered, nothing lost, and some of it.
 */
import { expect } from 'chai';
import type { Pool } from '../../../../agent/pool/pool.ts';
import type { IoError, ReplicaStore } from '../../../../agent/ports.ts';
import { atEveryCrash, SEEDS } from '../../../support/everyCrash.ts';
import { createIn, deleteFrom, openedPool } from '../../../support/pools.ts';
import { finish, MIB, newReplica, Outcome, outcome, POOL, REPLICA } from '../../../support/replicaFiles.ts';
import { SeededRandom } from '../../../support/seededRandom.ts';
import { SimulatedDisk } from '../../../support/simulatedDisk.ts';

const SIZE = 3 * MIB;
const DATA = Buffer.alloc(4096, 7);

const poolWith = (fill: (disk: SimulatedDisk, pool: Pool) => void): { disk: SimulatedDisk; pool: Pool } => {
  const disk = new SimulatedDisk();
  const pool = openedPool(disk);
  fill(disk, pool);
  return { disk, pool };
};

const writeData = (disk: SimulatedDisk, store: ReplicaStore | null): void => {
  if (!store) throw new Error('no replica');
  finish(disk, (done) => store.addIntents([1], done));
  store.write(MIB, [DATA], DATA.length);
  finish(disk, (done) => store.flush(done));
};

const isEmpty = (store: ReplicaStore): boolean => store.changedSince(0).size === 0 && store.read(0, SIZE).equals(Buffer.alloc(SIZE));

describe('a crash of a pool', () => {
  it('while it is made: the next start makes it, or finds it', () => {
    const prepare = () => {
      const disk = new SimulatedDisk();
      return { disk, act: () => void openedPool(disk) };
    };
    const points = atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk);
      expect(createIn(disk, pool, SIZE).error, what).to.equal(null);
      const again = openedPool(disk.losePower('everything'), { bootId: 'boot-2', random: new SeededRandom(9) });
      expect(again.id, what).to.equal(pool.id);
      expect(again.get(REPLICA), what).not.to.equal(null);
    });
    expect(points).to.be.above(5);
  });

  it('while a replica is created: it is there, whole and empty, or not at all, and creating it again makes it so', () => {
    let acknowledged = false;
    const prepare = () => {
      const { disk, pool } = poolWith(() => undefined);
      acknowledged = false;
      const act = () =>
        pool.createReplica(newReplica(SIZE), (error) => {
          acknowledged = error === null;
        });
      return { disk, act };
    };
    const points = atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk, { bootId: 'boot-2' });
      expect(pool.unserved, what).to.deep.equal([]);
      expect(disk.list(`${POOL}/replicas`), what).to.deep.equal(pool.get(REPLICA) ? [REPLICA] : []);
      if (acknowledged) expect(pool.get(REPLICA), what).not.to.equal(null);
      expectStillThere(disk, pool, what);
    });
    expect(points, 'crash points').to.be.above(20);
  });

  /** What a pool that was just opened lists must survive the loss of the power right then; and an empty replica may be made again. */
  function expectStillThere(disk: SimulatedDisk, pool: Pool, what: string): void {
    const wasThere = pool.get(REPLICA) !== null;
    const next = disk.losePower('everything');
    const again = openedPool(next, { bootId: 'boot-3' });
    expect(again.get(REPLICA) !== null, what).to.equal(wasThere);
    const { error, store } = createIn(next, again, SIZE);
    expect(error, what).to.equal(null);
    expect(store && isEmpty(store), what).to.equal(true);
  }

  it('while a replica is deleted: it is whole, or gone for ever', () => {
    let acknowledged = false;
    const prepare = () => {
      const { disk, pool } = poolWith((ready, fresh) => writeData(ready, createIn(ready, fresh, SIZE).store));
      acknowledged = false;
      const act = () =>
        pool.deleteReplica(REPLICA, (error) => {
          acknowledged = error === null;
        });
      return { disk, act };
    };
    const seen = { whole: 0, gone: 0 };
    const points = atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk, { bootId: 'boot-2' });
      expect(pool.unserved, what).to.deep.equal([]);
      const store = pool.get(REPLICA);
      if (store) {
        seen.whole++;
        expect(acknowledged, what).to.equal(false);
        expect(pool.tombstones.has(REPLICA), `${what}: what has a tombstone is not there`).to.equal(false);
        expect(store.read(MIB, DATA.length).equals(DATA), what).to.equal(true);
        expect(deleteFrom(disk, pool, REPLICA), what).to.equal(null);
      } else seen.gone++;
      expect(disk.list(`${POOL}/replicas`), what).to.deep.equal([]);
      expectGoneForEver(disk, pool, what);
      expectGoneForEver(disk.losePower('everything'), null, what);
    });
    expect(points, 'crash points').to.be.above(8);
    expect(seen.whole).to.be.above(10);
    expect(seen.gone).to.be.above(10);
  });

  function expectGoneForEver(disk: SimulatedDisk, open: Pool | null, what: string): void {
    const pool = open ?? openedPool(disk, { bootId: 'boot-3' });
    expect(createIn(disk, pool, SIZE).error?.message, what).to.match(/an id is never used again/);
    expect(pool.get(REPLICA), what).to.equal(null);
  }

  it('while leftovers of earlier crashes are removed: the next start removes the rest', () => {
    const prepare = () => {
      const { disk, pool } = poolWith((ready, fresh) => void createIn(ready, fresh, SIZE));
      pool.deleteReplica(REPLICA, () => undefined);
      // Until its directory has its last name, and no further.
      while (disk.waitingCompletions.every((call) => !call.startsWith('removeFile'))) disk.completeNext();
      const next = disk.killProcess();
      next.makeDirectory(`${POOL}/replicas/ffffffffffffffff.creating`);
      next.createFile(`${POOL}/replicas/ffffffffffffffff.creating/data`);
      return { disk: next, act: () => void openedPool(next) };
    };
    const points = atEveryCrash(prepare, (disk, what) => {
      const pool = openedPool(disk, { bootId: 'boot-2' });
      expect(disk.list(`${POOL}/replicas`), what).to.deep.equal([]);
      expect(pool.unserved, what).to.deep.equal([]);
      expectGoneForEver(disk, pool, what);
    });
    expect(points).to.be.above(8);
  });

  it('while a replica that was never here is deleted: it can never be made from the moment of the answer', () => {
    let ended: IoError | null | undefined;
    const prepare = () => {
      const { disk, pool } = poolWith(() => undefined);
      ended = undefined;
      const act = () =>
        pool.deleteReplica(REPLICA, (error) => {
          ended = error;
        });
      return { disk, act };
    };
    atEveryCrash(prepare, (disk, what) => {
      if (ended === null) expectGoneForEver(disk, null, what);
      else openedPool(disk);
    });
  });

  it('with creations and deletions under way at once: none is lost that was told', () => {
    for (const seed of SEEDS) {
      const { disk, pool } = poolWith(() => undefined);
      const random = new SeededRandom(seed);
      const created = new Outcome<[IoError | null, ReplicaStore | null]>();
      const deleted = outcome();
      pool.createReplica(newReplica(SIZE), created.done);
      pool.deleteReplica(REPLICA, deleted.done);
      const steps = random.below(60);
      for (let step = 0; step < steps; step++) disk.completeNext();
      const next = disk.losePower(random);
      const again = openedPool(next, { bootId: 'boot-2' });
      if (deleted.isCalled) expect(again.get(REPLICA), `seed ${seed}`).to.equal(null);
      else if (created.isCalled) expect(created.result[0], `seed ${seed}`).to.equal(null);
      expect(again.unserved, `seed ${seed}`).to.deep.equal([]);
    }
  });
});
