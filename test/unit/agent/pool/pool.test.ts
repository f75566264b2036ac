/** A pool in use: what it makes, refuses, reports and says. */
import { expect } from 'chai';
import { PoolError } from '../../../../agent/pool/errors.ts';
import { OPERATIONS_WAITING_MAX } from '../../../../agent/pool/pool.ts';
import { TOMBSTONES_MAX } from '../../../../agent/pool/tombstones.ts';
import { stateBytes } from '../../../../agent/replica/store/files.ts';
import { type ReplicaId, replicaId } from '../../../../core/ids.ts';
import { createIn, deleteFrom, openedPool, tryOpenPool } from '../../../support/pools.ts';
import { plainRecord } from '../../../support/replicaFileBuilder.ts';
import { errorOf, finish, MIB, metaWith, newReplica, outcome, POOL, REPLICA, VOLUME } from '../../../support/replicaFiles.ts';
import { SeededRandom } from '../../../support/seededRandom.ts';
import { SimulatedDisk } from '../../../support/simulatedDisk.ts';

const GIB = 1024 * MIB;
const OTHER = replicaId('0000000000000002');
const idOf = (index: number): ReplicaId => replicaId(index.toString(16).padStart(16, '0'));

function fresh(options: ConstructorParameters<typeof SimulatedDisk>[0] = {}) {
  const disk = new SimulatedDisk(options);
  return { disk, pool: openedPool(disk) };
}

describe('a pool: opening', () => {
  it('is made at first use, and is the same one after', () => {
    const { disk, pool } = fresh();
    expect(pool.id).to.match(/^[0-9a-f]{16}$/);
    expect(disk.peek(`${POOL}/pool.json`)?.toString()).to.equal(plainRecord(`{"format":1,"id":"${pool.id}"}`).toString());
    finish(disk, (done) => pool.close(done));
    expect(openedPool(disk, { random: new SeededRandom(99) }).id).to.equal(pool.id);
  });

  it('takes the lock first: a second one gets a sentence and touches nothing', () => {
    const { disk, pool } = fresh();
    const before = disk.changes;
    const { error } = tryOpenPool(disk);
    expect(error).to.be.instanceOf(PoolError);
    expect(error?.message).to.equal('pool fast: /pool is in use by process 1; only one agent at a time may work on a pool');
    expect(disk.changes).to.equal(before);
    finish(disk, (done) => pool.close(done));
    expect(tryOpenPool(disk).error).to.equal(null);
  });

  it('a pool that could not be opened holds no lock', () => {
    const { disk, pool } = fresh();
    finish(disk, (done) => pool.close(done));
    const record = disk.peek(`${POOL}/pool.json`);
    disk.tamper(`${POOL}/pool.json`, Buffer.from('{}'));
    expect(tryOpenPool(disk).error?.message).to.match(/^pool fast: \/pool\/pool.json cannot be trusted: /);
    disk.tamper(`${POOL}/pool.json`, record);
    expect(tryOpenPool(disk).error).to.equal(null);
  });

  it('says what is wrong with the directory or with pool.json', () => {
    const messageWith = (content: string | null) => {
      const disk = new SimulatedDisk();
      if (content !== null) disk.tamper(`${POOL}/pool.json`, plainRecord(content));
      return tryOpenPool(disk).error?.message;
    };
    expect(tryOpenPool(new SimulatedDisk(), { path: '/gone' }).error?.message).to.equal('pool fast: /gone does not exist');
    expect(messageWith('{"format":2,"id":"0000000000000001"}')).to.equal(
      'pool fast: /pool/pool.json is of format 2, which a later version has written; this one knows 1: run that version here',
    );
    expect(messageWith('{"format":1,"id":"x"}')).to.equal('pool fast: /pool/pool.json: id must be 16 hex digits');
    expect(messageWith('null')).to.equal('pool fast: /pool/pool.json: format undefined is not known, only 1');
    expect(messageWith('{"format":1,"id":"0000000000000001"}')).to.equal(undefined);
  });

  it('never begins anew over what is left of a pool', () => {
    const { disk, pool } = fresh();
    createIn(disk, pool, MIB);
    finish(disk, (done) => pool.close(done));
    disk.tamper(`${POOL}/pool.json`, null);
    const expected = `pool fast: /pool/pool.json is missing, but replicas/${REPLICA} is there; put it back, or empty the directory`;
    expect(tryOpenPool(disk).error?.message).to.equal(expected);
    expect(disk.exists(`${POOL}/pool.json`)).to.equal(false);
  });

  it('a disk that fails is named', () => {
    const disk = new SimulatedDisk();
    disk.fail({ call: 'syncDirectory', code: 'EIO' });
    expect(tryOpenPool(disk).error?.message).to.match(/^pool fast: syncDirectory \/pool: EIO/);
  });

  it('opens the good replicas and lists the damaged ones with file and reason', () => {
    const { disk, pool } = fresh();
    for (let index = 1; index <= 40; index++) createIn(disk, pool, index * MIB, idOf(index));
    finish(disk, (done) => pool.close(done));
    disk.tamper(`${POOL}/replicas/${idOf(3)}/intents`, Buffer.alloc(5));
    disk.tamper(`${POOL}/replicas/${idOf(5)}/meta`, Buffer.alloc(5));
    disk.tamper(`${POOL}/replicas/${idOf(7)}/data`, null);
    disk.makeDirectory(`${POOL}/replicas/lost+found`);
    const again = openedPool(disk);
    expect(again.stores.size).to.equal(37);
    expect(again.unserved).to.deep.equal([
      { volume: VOLUME, replica: idOf(3), sizeBytes: 3 * MIB, reason: 'intents: it is 5 bytes long, not 8192' },
      { volume: null, replica: idOf(5), sizeBytes: 5 * MIB, reason: 'meta: its first line has no end' },
      { volume: VOLUME, replica: idOf(7), sizeBytes: 7 * MIB, reason: 'data: it is missing' },
    ]);
    expect(again.report()).to.deep.include({ state: 'ready', allocatedBytes: 820 * MIB });
    expect(again.get(idOf(3))).to.equal(null);
    expect(createIn(disk, again, 3 * MIB, idOf(3)).error?.message).to.match(/it is there and cannot be served: intents: /);
    expect(deleteFrom(disk, again, idOf(3))).to.equal(null);
    expect(again.unserved.map(({ replica }) => replica)).to.deep.equal([idOf(5), idOf(7)]);
    expect(disk.exists(`${POOL}/replicas/${idOf(3)}`)).to.equal(false);
  });

  it('a replica that a later version has written is not damaged: the pool is not opened, nothing is changed, and that version finds it as it was', () => {
    const { disk, pool } = fresh();
    for (let index = 1; index <= 3; index++) createIn(disk, pool, MIB, idOf(index));
    finish(disk, (done) => pool.close(done));
    const file = `${POOL}/replicas/${idOf(2)}/meta`;
    const before = disk.peek(file);
    const later = plainRecord((before?.toString().split('\n')[0] ?? '').replace('"format":1', '"format":2').replace('}', ',"news":true}'));
    disk.tamper(file, later);
    const { error } = tryOpenPool(disk);
    expect(error).to.be.instanceOf(PoolError);
    expect(error?.message).to.equal(
      'pool fast: meta is of format 2, which a later version has written; this one knows 1: run that version here',
    );
    expect(error?.cause, 'the disk is sound').to.equal(undefined);
    expect(disk.peek(file)?.equals(later)).to.equal(true);
    disk.tamper(file, before);
    expect(openedPool(disk).stores.size).to.equal(3);
  });

  it('a disk on which no file can even be opened lists all replicas as unserved', () => {
    const { disk, pool } = fresh();
    for (let index = 1; index <= 100; index++) createIn(disk, pool, MIB, idOf(index));
    finish(disk, (done) => pool.close(done));
    disk.fail({ call: 'openFile', path: /replicas/, code: 'EIO' });
    const again = openedPool(disk);
    expect(again.unserved).to.have.length(100);
    expect(again.unserved[0]?.reason).to.match(/EIO/);
  });
});

describe('a pool: creating and deleting', () => {
  it('creating is idempotent: the same replica is found, with its data', () => {
    const { disk, pool } = fresh();
    const { store } = createIn(disk, pool, 4 * MIB);
    expect(store?.meta).to.deep.include({
      volume: VOLUME,
      volumeName: 'pgdata',
      replica: REPLICA,
      sizeBytes: 4 * MIB,
      openBootId: 'boot-1',
    });
    expect(createIn(disk, pool, 4 * MIB)).to.deep.equal({ error: null, store });
    finish(disk, (done) => pool.close(done));
    const again = openedPool(disk);
    expect(createIn(disk, again, 4 * MIB)).to.deep.equal({ error: null, store: again.get(REPLICA) });
  });

  it('two creations of one replica at once make one', () => {
    const { disk, pool } = fresh();
    const stores: unknown[] = [];
    for (let time = 0; time < 2; time++) pool.createReplica(newReplica(MIB), (error, store) => stores.push(error ?? store));
    disk.drain();
    expect(stores).to.deep.equal([pool.get(REPLICA), pool.get(REPLICA)]);
  });

  it('refuses the id with another size or volume, and sizes that cannot be', () => {
    const { disk, pool } = fresh();
    createIn(disk, pool, 4 * MIB);
    expect(createIn(disk, pool, 8 * MIB).error?.message).to.equal(
      `creating replica ${REPLICA} in pool fast: it is there, of volume ${VOLUME} and ${4 * MIB} bytes`,
    );
    for (const sizeBytes of [0, -4096, 4097, 0.5, Number.NaN, 65 * 1024 * GIB]) {
      const { error } = createIn(disk, pool, sizeBytes, OTHER);
      expect(error?.message, `${sizeBytes}`).to.match(/is not a multiple of 4096 above 0 and up to 64 TiB/);
      expect(error?.code).to.equal('invalid');
    }
  });

  it('what is deleted is gone, its id for ever; deleting what is not there succeeds', () => {
    const { disk, pool } = fresh();
    const { store } = createIn(disk, pool, 4 * MIB);
    expect(deleteFrom(disk, pool, REPLICA)).to.equal(null);
    expect(deleteFrom(disk, pool, REPLICA)).to.equal(null);
    expect(deleteFrom(disk, pool, OTHER)).to.equal(null);
    expect(() => store?.read(0, 512)).to.throw('the replica is closed');
    expect([...pool.stores.keys(), ...pool.unserved]).to.deep.equal([]);
    for (const id of [REPLICA, OTHER]) {
      const { error } = createIn(disk, pool, 4 * MIB, id);
      expect(error?.message).to.equal(
        `creating replica ${id} in pool fast: a replica with this id was deleted here, and an id is never used again`,
      );
      expect(error?.code).to.equal('invalid');
    }
  });

  it('remembers the last deleted ids, and no more than it may', () => {
    const { disk, pool } = fresh();
    const ids = Array.from({ length: TOMBSTONES_MAX }, (_, index) => idOf(index + 1));
    finish(disk, (done) => pool.close(done));
    disk.tamper(`${POOL}/tombstones`, plainRecord(JSON.stringify({ format: 1, deleted: ids })));
    const again = openedPool(disk);
    deleteFrom(disk, again, REPLICA);
    expect(again.tombstones.has(idOf(1)), 'the oldest is forgotten').to.equal(false);
    finish(disk, (done) => again.close(done));
    const { tombstones } = openedPool(disk);
    expect([idOf(1), idOf(2), idOf(TOMBSTONES_MAX), REPLICA].map((id) => tombstones.has(id))).to.deep.equal([false, true, true, true]);
  });

  it('damaged tombstones: nothing is created until a person has looked, all else goes on', () => {
    const { disk, pool } = fresh();
    createIn(disk, pool, MIB, OTHER);
    deleteFrom(disk, pool, REPLICA);
    finish(disk, (done) => pool.close(done));
    const tombstones = disk.peek(`${POOL}/tombstones`) ?? Buffer.alloc(0);
    tombstones[30] = (tombstones[30] ?? 0) ^ 1;
    disk.tamper(`${POOL}/tombstones`, tombstones);
    const again = openedPool(disk);
    expect(again.get(OTHER)).not.to.equal(null);
    expect(again.report().reason).to.match(
      /^\/pool\/tombstones.damaged is damaged, so which replicas were deleted here is not known; remove it/,
    );
    expect(createIn(disk, again, MIB).error?.message).to.match(/pool fast is quarantined: .*tombstones.damaged/);
    expect(deleteFrom(disk, again, OTHER)).to.equal(null);
    finish(disk, (done) => again.close(done));
    const next = disk.losePower('everything');
    const afterRestart = openedPool(next);
    expect(afterRestart.report().state, 'also after a restart').to.equal('quarantined');
    finish(next, (done) => afterRestart.close(done));
    next.tamper(`${POOL}/tombstones.damaged`, null);
    const last = openedPool(next);
    expect(last.report().state).to.equal('ready');
    expect(createIn(next, last, MIB, OTHER).error?.message).to.match(/an id is never used again/);
    expect(createIn(next, last, MIB).error, 'what the damaged file said is forgotten').to.equal(null);
  });

  it('a creation that fails gives back what it took, and may succeed later', () => {
    for (const call of ['createFile', 'write', 'syncAll', 'truncate'] as const) {
      const { disk, pool } = fresh({ capacityBytes: GIB });
      disk.fail({ call, path: /stamps|data/, code: 'ENOSPC', times: 1 });
      const { error } = createIn(disk, pool, MIB);
      expect(error?.code, call).to.equal('noSpace');
      expect(error?.message, call).to.match(/^creating replica 00112233aabbccdd in pool fast: .*ENOSPC; \d+ MiB of 1 GiB are free$/);
      expect(disk.list(`${POOL}/replicas`)).to.deep.equal([]);
      expect(createIn(disk, pool, MIB).error, call).to.equal(null);
    }
  });

  it('one that fails because of the disk quarantines the pool: the leader would only try it here again', () => {
    const { disk, pool } = fresh();
    disk.fail({ call: 'syncAll', path: /meta$/, code: 'EIO', times: 1 });
    expect(createIn(disk, pool, MIB).error?.code).to.equal('io');
    expect(pool.report()).to.deep.include({ state: 'quarantined' });
    expect(createIn(disk, pool, MIB, OTHER).error?.message).to.match(/^pool fast is quarantined: creating replica .*EIO/);
  });

  it('a replica that the pool has no room for, even empty, is refused with the numbers', () => {
    const { disk, pool } = fresh({ capacityBytes: 10 * MIB });
    const { error } = createIn(disk, pool, 1024 * GIB);
    expect(stateBytes(1024 * GIB)).to.be.within(17 * MIB, 19 * MIB);
    expect(error?.code).to.equal('noSpace');
    expect(error?.message).to.match(
      /^pool fast has 10 MiB free of 10 MiB; a replica of 1 TiB needs 17 MiB before anything is written to it$/,
    );
  });

  it('a deletion that fails half way can be asked for again', () => {
    const { disk, pool } = fresh();
    createIn(disk, pool, 4 * MIB);
    disk.fail({ call: 'removeFile', path: /stamps/, code: 'EIO', times: 1 });
    expect(deleteFrom(disk, pool, REPLICA)?.message).to.match(/deleting replica 00112233aabbccdd in pool fast: .*EIO/);
    expect(pool.unserved).to.deep.equal([{ volume: VOLUME, replica: REPLICA, sizeBytes: 4 * MIB, reason: 'it is being deleted' }]);
    expect(deleteFrom(disk, pool, REPLICA)).to.equal(null);
    expect(pool.unserved).to.deep.equal([]);
    expect(disk.list(`${POOL}/replicas`)).to.deep.equal([]);
  });

  it('too many at once are refused', () => {
    const { disk, pool } = fresh();
    const errors: unknown[] = [];
    for (let index = 0; index < OPERATIONS_WAITING_MAX + 2; index++)
      pool.deleteReplica(OTHER, (error) => errors.push(error?.message ?? null));
    expect(errors).to.deep.equal([`pool fast: more than ${OPERATIONS_WAITING_MAX} creations and deletions wait`]);
    disk.drain();
    expect(errors).to.have.length(OPERATIONS_WAITING_MAX + 2);
  });
});

describe('a pool: report, quarantine and closing', () => {
  it('reports what the file system and the replicas take', () => {
    const disk = new SimulatedDisk({ capacityBytes: GIB, reflink: true });
    const pool = openedPool(disk, { tags: ['ssd'] });
    createIn(disk, pool, 2 * GIB);
    const { usedBytes, ...report } = pool.report();
    expect(report).to.deep.equal({
      name: 'fast',
      capacityBytes: GIB,
      allocatedBytes: 2 * GIB,
      tags: ['ssd'],
      reflink: true,
      state: 'ready',
    });
    expect(usedBytes).to.be.within(1, MIB);
  });

  it('a file system that does not tell is a reason for quarantine while it lasts, with the last numbers known', () => {
    const { disk, pool } = fresh({ capacityBytes: GIB });
    pool.report();
    disk.fail({ call: 'space', code: 'EIO', times: 1 });
    expect(pool.report()).to.deep.include({ state: 'quarantined', reason: 'space /pool: EIO', capacityBytes: GIB });
    expect(pool.report().state).to.equal('ready');
  });

  it('a probe for reflink that fails for want of space means no; for another reason, quarantine', () => {
    for (const [code, state] of [
      ['ENOSPC', 'ready'],
      ['EROFS', 'quarantined'],
    ] as const) {
      const disk = new SimulatedDisk({ reflink: true });
      disk.fail({ call: 'canReflink', code });
      expect(openedPool(disk).report(), code).to.deep.include({ reflink: false, state });
    }
  });

  it('a replica whose sync fails quarantines its pool, and so it is found after a restart; its neighbours go on', () => {
    const { disk, pool } = fresh();
    createIn(disk, pool, 4 * MIB);
    const { store: neighbour } = createIn(disk, pool, 4 * MIB, OTHER);
    disk.fail({ call: 'syncData', path: /00112233aabbccdd\/intents/, code: 'EIO', times: 1 });
    expect(errorOf(disk, (done) => pool.get(REPLICA)?.addIntents([0], done))?.code).to.equal('io');
    const reason = /replica 00112233aabbccdd has failed: fdatasync of .*intents failed/;
    expect(pool.report().reason).to.match(reason);
    expect(pool.unserved).to.have.length(1);
    if (!neighbour) throw new Error('no neighbour');
    finish(disk, (done) => neighbour.addIntents([0], done));
    const again = openedPool(disk.losePower('everything'), { bootId: 'boot-2' });
    expect(again.report().reason).to.match(reason);
    expect(again.unserved.map(({ volume, replica }) => ({ volume, replica }))).to.deep.equal([{ volume: VOLUME, replica: REPLICA }]);
    expect(again.get(OTHER)).not.to.equal(null);
  });

  it('the first reason for a quarantine stays', () => {
    const { pool } = fresh();
    pool.quarantine('a write hangs since 30 s');
    pool.quarantine('another');
    expect(pool.report()).to.deep.include({ state: 'quarantined', reason: 'a write hangs since 30 s' });
  });

  it('closing closes every replica cleanly, also those that others have begun to close, and refuses what comes after', () => {
    const { disk, pool } = fresh();
    createIn(disk, pool, 4 * MIB);
    createIn(disk, pool, 4 * MIB, OTHER);
    const [first, closed, late] = [outcome(), outcome(), outcome()];
    pool.get(OTHER)?.close(first.done);
    pool.close(closed.done);
    pool.deleteReplica(REPLICA, late.done);
    expect(late.result[0]).to.have.property('code', 'shutdown');
    disk.drain();
    expect([first.result, closed.result]).to.deep.equal([[null], [null]]);
    const again = openedPool(disk.losePower('everything'), { bootId: 'boot-2' });
    expect([...again.stores.values()].map(({ meta }) => meta.suspect)).to.deep.equal([false, false]);
  });

  it('closing goes on past a replica that cannot be closed, and says so', () => {
    const { disk, pool } = fresh();
    const { store } = createIn(disk, pool, 4 * MIB);
    createIn(disk, pool, 4 * MIB, OTHER);
    if (!store) throw new Error('no replica');
    finish(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch: 2 }), done));
    disk.fail({ call: 'syncAll', path: /00112233aabbccdd\/meta/, code: 'EIO', times: 1 });
    expect(errorOf(disk, (done) => pool.close(done))?.message).to.match(/fsync of .*00112233aabbccdd\/meta.next failed/);
    const again = openedPool(disk, { bootId: 'boot-2' });
    expect(again.get(OTHER)?.meta.suspect).to.equal(false);
    expect(again.unserved.map(({ replica }) => replica)).to.deep.equal([REPLICA]);
  });

  it('an empty pool closes, too', () => {
    const { disk, pool } = fresh();
    finish(disk, (done) => pool.close(done));
    expect(tryOpenPool(disk).error).to.equal(null);
  });
});
