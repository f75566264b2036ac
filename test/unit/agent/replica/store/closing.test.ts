/** A replica's meta in use, and how its files are closed. */
import { expect } from 'chai';
import { type Done, IoError } from '../../../../../agent/ports.ts';
import { AssertionError } from '../../../../../core/assert.ts';
import { errorOf, finish, intend, MIB, made, metaWith, open, outcome } from '../../../../support/replicaFiles.ts';
import { SimulatedDisk } from '../../../../support/simulatedDisk.ts';

const filled = (length: number, byte: number): Buffer => Buffer.alloc(length, byte);

describe('the store: meta and closing', () => {
  it('a saved meta is there when it has called back, and not before', () => {
    const { disk, store } = made();
    const saved = outcome();
    store.saveMeta(metaWith(store, { promisedEpoch: 9 }), saved.done);
    expect(store.meta.promisedEpoch).to.equal(0);
    disk.drain();
    expect(saved.result).to.deep.equal([null]);
    expect(store.meta.promisedEpoch).to.equal(9);
    expect(open(disk.losePower('everything')).meta.promisedEpoch).to.equal(9);
  });

  it('works on a file system that cannot swap names', () => {
    const disk = new SimulatedDisk({ exchangesNames: false });
    const { store } = made(8 * MIB, disk);
    for (const promisedEpoch of [1, 2, 3]) finish(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch }), done));
    expect(open(disk.losePower('everything')).meta.promisedEpoch).to.equal(3);
  });

  it('needs no new file: a full disk does not keep a replica from promising', () => {
    const { disk, store } = made();
    disk.fail({ call: 'createFile', code: 'ENOSPC' });
    finish(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch: 4 }), done));
    finish(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch: 5 }), done));
    expect(open(disk.losePower('everything')).meta.promisedEpoch).to.equal(5);
  });

  it('a meta that cannot be written is an error, the old one stays and the next may succeed', () => {
    const { disk, store } = made();
    disk.fail({ call: 'write', path: /meta/, code: 'ENOSPC', times: 1 });
    const error = errorOf(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch: 2 }), done));
    expect(error).to.have.property('code', 'noSpace');
    expect(store.meta.promisedEpoch).to.equal(0);
    finish(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch: 3 }), done));
    expect(open(disk.losePower('everything')).meta.promisedEpoch).to.equal(3);
  });

  it('a meta that belongs to another replica or could not be read back is a programmer error', () => {
    const { store } = made();
    expect(() => store.saveMeta(metaWith(store, { sizeBytes: MIB }), () => undefined)).to.throw(AssertionError);
    expect(() => store.saveMeta(metaWith(store, { promisedEpoch: -1 }), () => undefined)).to.throw(AssertionError, /promisedEpoch/);
  });

  it('closing waits for what runs, keeps the log, makes all durable, and refuses whatever comes after', () => {
    const { disk, store } = made();
    intend(disk, store, 1);
    store.write(MIB, [filled(512, 3)], 512);
    store.setStamp(1, 6);
    const [added, flushed, closed, again] = [outcome(), outcome(), outcome(), outcome()];
    store.addIntents([2], added.done);
    store.flush(flushed.done);
    store.close(closed.done);
    store.close(again.done);
    expect(() => store.read(0, 512))
      .to.throw(IoError)
      .with.property('code', 'shutdown');
    const refusals: ((done: Done) => void)[] = [
      (done) => store.flush(done),
      (done) => store.addIntents([3], done),
      (done) => store.clean([1], () => true, done),
      (done) => store.saveMeta(store.meta, done),
    ];
    for (const refused of refusals) {
      const ended = outcome();
      refused(ended.done);
      expect(ended.result[0]).to.have.property('code', 'shutdown');
    }
    disk.drain();
    expect([added, flushed, closed, again].map((ended) => ended.result)).to.deep.equal([[null], [null], [null], [null]]);
    const found = open(disk.losePower('everything'), 'boot-2');
    expect(found.meta).to.deep.include({ suspect: false, openBootId: 'boot-2' });
    expect([...found.intents]).to.deep.equal([1, 2]);
    expect(found.stamp(1)).to.equal(6);
    expect(found.read(MIB, 512).equals(filled(512, 3))).to.equal(true);
  });

  it('what was cleaned before a close does not come back', () => {
    const { disk, store } = made();
    intend(disk, store, 1, 2);
    finish(disk, (done) => store.clean([1], () => true, done));
    finish(disk, (done) => store.close(done));
    expect([...open(disk.losePower('everything')).intents]).to.deep.equal([2]);
  });

  it('discarding makes nothing durable, and waits for what runs too', () => {
    const { disk, store } = made();
    const added = outcome();
    let isDiscarded = false;
    store.addIntents([1], added.done);
    store.discard(() => {
      isDiscarded = true;
    });
    expect(isDiscarded).to.equal(false);
    disk.drain();
    expect([added.isCalled, isDiscarded]).to.deep.equal([true, true]);
    expect(open(disk.losePower('everything'), 'boot-2').meta.suspect).to.equal(true);
  });
});
