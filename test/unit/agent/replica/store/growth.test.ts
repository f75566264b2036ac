/** A replica that grows: files first, its meta last; what a crash leaves in between is opened as what it was. */
import { expect } from 'chai';
import type { FileReplicaStore } from '../../../../../agent/replica/store/store.ts';
import { EXTENT_BYTES } from '../../../../../core/extent.ts';
import { atEveryCrash } from '../../../../support/everyCrash.ts';
import { create, DIRECTORY, finish, intend, MIB, made, metaWith, open, outcome } from '../../../../support/replicaFiles.ts';
import { SimulatedDisk } from '../../../../support/simulatedDisk.ts';

const BLOCK = 4096;

const extend = (disk: SimulatedDisk, store: FileReplicaStore, sizeBytes: number): void =>
  finish(disk, (done) => store.extend(sizeBytes, done));
const adopt = (disk: SimulatedDisk, store: FileReplicaStore, sizeBytes: number): void =>
  finish(disk, (done) => store.saveMeta(metaWith(store, { sizeBytes }), done));
function grow(disk: SimulatedDisk, store: FileReplicaStore, sizeBytes: number): void {
  extend(disk, store, sizeBytes);
  adopt(disk, store, sizeBytes);
}

function write(disk: SimulatedDisk, store: FileReplicaStore, extent: number, value: number): void {
  intend(disk, store, extent);
  store.write(extent * EXTENT_BYTES, [Buffer.alloc(BLOCK, value)], BLOCK);
  store.setStamp(extent, value);
}

const holds = (store: FileReplicaStore, extent: number, value: number): boolean =>
  store.read(extent * EXTENT_BYTES, BLOCK).equals(Buffer.alloc(BLOCK, value));

describe('a replica that grows', () => {
  it('is as large as its meta says, and no larger before', () => {
    const { disk, store } = made(2 * MIB);
    extend(disk, store, 5 * MIB);
    expect([store.meta.sizeBytes, store.intents.extents]).to.deep.equal([2 * MIB, 2]);
    expect(() => store.read(2 * MIB, BLOCK)).to.throw(/outside of the replica's/);
    adopt(disk, store, 5 * MIB);
    expect([store.meta.sizeBytes, store.intents.extents]).to.deep.equal([5 * MIB, 5]);
    expect([holds(store, 4, 0), store.stamp(4), store.mayHaveData(4)]).to.deep.equal([true, 0, false]);
    write(disk, store, 4, 9);
    expect([...store.changedSince(9)]).to.deep.equal([4]);
  });

  it('keeps what it held, in the log, in the stamps and in the data, over many pages and a restart', () => {
    const { disk, store } = made(2 * MIB);
    write(disk, store, 1, 3);
    grow(disk, store, 70_000 * MIB);
    write(disk, store, 69_999, 4);
    write(disk, store, 40_000, 5);
    finish(disk, (done) => store.clean([40_000], () => true, done));
    finish(disk, (done) => store.close(done));
    const again = open(disk.losePower('everything'), 'boot-2');
    expect([...again.intents]).to.deep.equal([1, 69_999]);
    expect([again.meta.sizeBytes, again.stamp(40_000)]).to.deep.equal([70_000 * MIB, 5]);
    expect([holds(again, 1, 3), holds(again, 69_999, 4), holds(again, 40_000, 5), holds(again, 0, 0)]).to.deep.equal([
      true,
      true,
      true,
      true,
    ]);
  });

  it('can do so while its log is being committed', () => {
    const { disk, store } = made(2 * MIB);
    const [added, extended] = [outcome(), outcome()];
    store.addIntents([1], added.done);
    store.extend(70_000 * MIB, extended.done);
    disk.drain();
    expect([added.result, extended.result]).to.deep.equal([[null], [null]]);
    adopt(disk, store, 70_000 * MIB);
    store.addIntents([60_000], () => undefined);
    disk.drain();
    expect([...open(disk.killProcess()).intents]).to.deep.equal([1, 60_000]);
  });

  it('twice at once, one after the other, whatever is adopted in between', () => {
    const { disk, store } = made(2 * MIB);
    const [first, second] = [outcome(), outcome()];
    store.extend(40_000 * MIB, (error) => {
      first.done(error);
      store.saveMeta(metaWith(store, { sizeBytes: 40_000 * MIB }), () => store.addIntents([39_999], () => undefined));
    });
    store.extend(80_000 * MIB, second.done);
    disk.drain();
    expect([first.result, second.result]).to.deep.equal([[null], [null]]);
    adopt(disk, store, 80_000 * MIB);
    expect([...open(disk.losePower('everything'), 'boot-2').intents]).to.deep.equal([39_999]);
  });

  it('stays as it is on a full disk, and grows later', () => {
    const disk = new SimulatedDisk();
    create(disk, 2 * MIB);
    const store = open(disk);
    write(disk, store, 1, 3);
    for (const call of ['truncate', 'write'] as const) {
      disk.fail({ call, path: /data|intents|stamps/, code: 'ENOSPC', times: 1 });
      const refused = outcome();
      store.extend(70_000 * MIB, refused.done);
      disk.drain();
      expect(refused.result[0]).to.include({ code: 'noSpace' });
    }
    expect(holds(store, 1, 3)).to.equal(true);
    disk.mend();
    grow(disk, store, 70_000 * MIB);
    write(disk, store, 69_999, 4);
    expect([...open(disk.killProcess()).intents]).to.deep.equal([1, 69_999]);
  });

  it('begins with zeroes, whatever lay behind its end', () => {
    const { disk, store } = made(2 * MIB);
    finish(disk, (done) => store.close(done));
    const data = disk.peek(`${DIRECTORY}/data`) ?? Buffer.alloc(0);
    disk.tamper(`${DIRECTORY}/data`, Buffer.concat([data, Buffer.alloc(2 * MIB, 7)]));
    disk.tamper(`${DIRECTORY}/stamps`, Buffer.concat([disk.peek(`${DIRECTORY}/stamps`) ?? Buffer.alloc(0), Buffer.alloc(500_000, 7)]));
    const again = open(disk);
    grow(disk, again, 40_000 * MIB);
    expect([holds(again, 2, 0), holds(again, 3, 0), again.stamp(30_000)]).to.deep.equal([true, true, 0]);
    expect(again.meta.sizeBytes).to.equal(open(disk.killProcess()).meta.sizeBytes);
  });

  it('at every crash is as large as before or as it was to become, with all that it held, and can grow then', () => {
    const LARGE = 33_000 * MIB;
    const seen = { small: 0, large: 0 };
    let isTold = false;
    const prepare = () => {
      const { disk, store } = made(2 * MIB);
      write(disk, store, 1, 3);
      finish(disk, (done) => store.flush(done));
      isTold = false;
      const act = () =>
        store.extend(LARGE, () =>
          store.saveMeta(metaWith(store, { sizeBytes: LARGE }), (error) => {
            isTold = error === null;
          }),
        );
      return { disk, act };
    };
    const points = atEveryCrash(prepare, (disk, what) => {
      const store = open(disk, 'boot-2');
      const { sizeBytes } = store.meta;
      expect(sizeBytes, what).to.be.oneOf(isTold ? [LARGE] : [2 * MIB, LARGE]);
      seen[sizeBytes === LARGE ? 'large' : 'small']++;
      expect([...store.intents], what).to.deep.equal([1]);
      expect(holds(store, 1, 3), what).to.equal(true);
      if (sizeBytes !== LARGE) grow(disk, store, LARGE);
      expect([holds(store, 32_999, 0), store.changedSince(4).size], what).to.deep.equal([true, 1]);
      write(disk, store, 32_999, 4);
      expect(holds(open(disk.killProcess(), 'boot-2'), 32_999, 4), what).to.equal(true);
    });
    expect(points).to.be.above(8);
    expect([seen.small > 10, seen.large > 10]).to.deep.equal([true, true]);
  }).timeout(60_000);
});
