/** One replica's files in use: what is read back, what shares a sync, and what is refused. */
import { expect } from 'chai';
import { IoError } from '../../../../../agent/ports.ts';
import { AssertionError } from '../../../../../core/assert.ts';
import { errorOf, finish, intend, MIB, made, open, outcome } from '../../../../support/replicaFiles.ts';
import { SeededRandom } from '../../../../support/seededRandom.ts';
import { SimulatedDisk } from '../../../../support/simulatedDisk.ts';

const filled = (length: number, byte: number): Buffer => Buffer.alloc(length, byte);
const always = () => true;

describe('the store: data', () => {
  it('reads what was written, across chunks and extents, and zeroes elsewhere', () => {
    const { disk, store } = made();
    intend(disk, store, 0, 1);
    const chunks = [filled(1000, 1), filled(3096, 2), filled(4096, 3)];
    store.write(MIB - 4096, chunks, 8192);
    expect(store.read(MIB - 4096, 8192).equals(Buffer.concat(chunks))).to.equal(true);
    expect(store.read(MIB - 8192, 4096).equals(filled(4096, 0))).to.equal(true);
    expect(store.read(7 * MIB, MIB).equals(filled(MIB, 0))).to.equal(true);
  });

  it('goes on where a disk does less than asked', () => {
    const { disk, store } = made(8 * MIB, new SimulatedDisk({ shortIo: new SeededRandom(7) }));
    intend(disk, store, 2);
    const chunks = Array.from({ length: 40 }, (_, index) => filled(512 + index, index + 1));
    const whole = Buffer.concat(chunks);
    for (let time = 0; time < 50; time++) {
      store.write(2 * MIB + time, chunks, whole.length);
      expect(store.read(2 * MIB + time, whole.length).equals(whole), `time ${time}`).to.equal(true);
    }
  });

  for (const punchesHoles of [true, false]) {
    for (const free of [true, false]) {
      it(`zeroes any range, ${free ? 'freeing' : 'keeping'} its space, on a disk that ${punchesHoles ? 'punches' : 'cannot punch'} holes`, () => {
        const { disk, store } = made(8 * MIB, new SimulatedDisk({ punchesHoles }));
        intend(disk, store, 0, 1, 2);
        store.write(0, [filled(3 * MIB, 9)], 3 * MIB);
        store.zero(MIB - 700, MIB + 1000, free);
        const expected = filled(3 * MIB, 9).fill(0, MIB - 700, 2 * MIB + 300);
        expect(store.read(0, 3 * MIB).equals(expected)).to.equal(true);
        expect([0, 1, 2, 3].map((extent) => store.mayHaveData(extent))).to.deep.equal([true, false, true, false]);
      });
    }
  }

  it('the last extent may be short: zeroing all of it is zeroing the extent', () => {
    const { disk, store } = made(MIB + 8192);
    intend(disk, store, 1);
    store.write(MIB, [filled(8192, 1)], 8192);
    expect(store.mayHaveData(1)).to.equal(true);
    store.zero(MIB, 8192, true);
    expect(store.mayHaveData(1)).to.equal(false);
  });

  it('refuses ranges outside of the volume and changes nothing', () => {
    const { disk, store } = made(MIB + 4096);
    intend(disk, store, 0, 1);
    const outside = [
      [MIB + 4096, 1],
      [MIB, 4097],
      [-1, 10],
      [0, 0],
    ] as const;
    for (const [offset, length] of outside) {
      for (const attempt of [
        () => store.read(offset, length),
        () => store.write(offset, [filled(length, 1)], length),
        () => store.zero(offset, length, true),
      ]) {
        expect(attempt, `${length} at ${offset}`)
          .to.throw(IoError, /outside of the replica's 1052672 bytes/)
          .with.property('code', 'invalid');
      }
    }
    expect([store.mayHaveData(0), store.mayHaveData(1)]).to.deep.equal([false, false]);
  });

  it('an extent is never changed outside of the log: that is a programmer error, caught before the disk sees it', () => {
    const { disk, store } = made();
    intend(disk, store, 1);
    const before = disk.changes;
    expect(() => store.write(MIB - 512, [filled(1024, 1)], 1024)).to.throw(AssertionError, /extent 0 .* intent log/);
    expect(() => store.zero(0, 512, true)).to.throw(AssertionError);
    expect(() => store.setStamp(0, 1)).to.throw(AssertionError);
    expect(() => store.write(MIB, [filled(512, 1)], 513)).to.throw(AssertionError, /as long as its chunks/);
    expect(disk.changes).to.equal(before);
  });

  it('a full disk is said to be full, with what is left; the replica goes on', () => {
    const { disk, store } = made(8 * MIB, new SimulatedDisk({ capacityBytes: 100 * MIB }));
    intend(disk, store, 0);
    disk.fail({ call: 'write', path: /data$/, code: 'ENOSPC', times: 1 });
    const write = () => store.write(0, [filled(512, 1)], 512);
    expect(write)
      .to.throw(IoError, /write.*ENOSPC; 100 MiB of 100 MiB are free/)
      .with.property('code', 'noSpace');
    write();
    expect(store.read(0, 512).equals(filled(512, 1))).to.equal(true);
  });

  it('a write that fails half way has written, as far as anybody knows', () => {
    const { disk, store } = made();
    intend(disk, store, 0);
    disk.fail({ call: 'write', path: /data$/, code: 'EIO' });
    expect(() => store.write(0, [filled(512, 1)], 512))
      .to.throw(IoError)
      .with.property('code', 'io');
    expect(store.mayHaveData(0)).to.equal(true);
  });

  it('an unreadable range and a data file that was cut behind our back are errors, never zeroes', () => {
    const { disk, store } = made();
    disk.fail({ call: 'read', path: /data$/, code: 'EIO', times: 1 });
    expect(() => store.read(0, 512))
      .to.throw(IoError, /EIO/)
      .with.property('code', 'io');
    disk.openFile('/pool/00112233aabbccdd/data').truncate(MIB);
    expect(() => store.read(MIB - 512, 1024))
      .to.throw(IoError, /stopped early/)
      .with.property('code', 'io');
  });
});

describe('the store: flush', () => {
  const syncsOfData = (disk: SimulatedDisk) =>
    disk.waitingCompletions.filter((call) => call === 'syncData /pool/00112233aabbccdd/data').length;

  it('callers that come while one runs share the next, which covers their writes', () => {
    const { disk, store } = made();
    intend(disk, store, 0);
    finish(disk, (done) => store.flush(done));
    const flushes = [1, 2, 3].map((byte) => {
      store.write(0, [filled(512, byte)], 512);
      const ended = outcome();
      store.flush(ended.done);
      return ended;
    });
    expect(syncsOfData(disk)).to.equal(1);
    disk.completeNext();
    expect(flushes.map((ended) => ended.isCalled)).to.deep.equal([true, false, false]);
    expect(syncsOfData(disk)).to.equal(1);
    disk.completeNext();
    expect(flushes.map((ended) => ended.isCalled)).to.deep.equal([true, true, true]);
    expect(open(disk.losePower('everything')).read(0, 512).equals(filled(512, 3))).to.equal(true);
  });

  it('with nothing written since, it costs nothing: a running one is shared, else it is over at once', () => {
    const { disk, store } = made();
    const flushes = [outcome(), outcome(), outcome()];
    store.flush((flushes[0] ?? outcome()).done);
    store.flush((flushes[1] ?? outcome()).done);
    expect(syncsOfData(disk)).to.equal(1);
    disk.completeNext();
    store.flush((flushes[2] ?? outcome()).done);
    expect(disk.waitingCompletions).to.deep.equal([]);
    expect(flushes.map((ended) => ended.result)).to.deep.equal([[null], [null], [null]]);
  });

  it('a write that fell into a running flush is not covered by it', () => {
    const { disk, store } = made();
    intend(disk, store, 0);
    const first = outcome();
    store.flush(first.done);
    store.write(0, [filled(512, 5)], 512);
    disk.drain();
    expect(first.result).to.deep.equal([null]);
    const second = outcome();
    store.flush(second.done);
    expect(second.isCalled).to.equal(false);
    expect(open(disk.losePower('everything')).read(0, 512).equals(filled(512, 0))).to.equal(true);
  });
});

describe('the store: intent log', () => {
  it('adds are durable when they call back; those made while a commit runs share one page write and one sync', () => {
    const { disk, store } = made(100 * MIB);
    const adds = Array.from({ length: 20 }, (_, extent) => {
      const ended = outcome();
      store.addIntents([extent, extent + 20], ended.done);
      return ended;
    });
    expect(disk.waitingCompletions).to.have.length(1);
    const before = disk.changes;
    disk.completeNext();
    expect(adds.filter((ended) => ended.isCalled)).to.have.length(1);
    expect([...store.intents]).to.deep.equal([0, 20]);
    disk.drain();
    expect(disk.changes - before, 'the first sync, one write, one sync').to.equal(3);
    expect(adds.map((ended) => ended.result)).to.deep.equal(adds.map(() => [null]));
    expect([...open(disk.losePower('everything')).intents]).to.deep.equal(Array.from({ length: 40 }, (_, extent) => extent));
  });

  it('what is durable already calls back at once, what is being committed waits for just that', () => {
    const { disk, store } = made();
    intend(disk, store, 1, 2);
    const [durable, first, same, other] = [outcome(), outcome(), outcome(), outcome()];
    store.addIntents([2, 1], durable.done);
    expect(durable.result).to.deep.equal([null]);
    store.addIntents([3, 4], first.done);
    store.addIntents([4, 1], same.done);
    store.addIntents([4, 5], other.done);
    disk.completeNext();
    expect([first, same, other].map((ended) => ended.isCalled)).to.deep.equal([true, true, false]);
    disk.drain();
    expect(other.result).to.deep.equal([null]);
  });

  it('what a callback adds shares the commit after', () => {
    const { disk, store } = made();
    const inner = outcome();
    store.addIntents([1], () => store.addIntents([2], inner.done));
    store.addIntents([3], () => undefined);
    disk.completeNext();
    expect(disk.waitingCompletions).to.have.length(1);
    expect([...store.intents]).to.deep.equal([1]);
    disk.drain();
    expect([...store.intents]).to.deep.equal([1, 2, 3]);
  });

  it('a page that cannot be written is an error for those who asked, and written again for the next', () => {
    const { disk, store } = made();
    disk.fail({ call: 'write', path: /intents$/, code: 'EIO', times: 1 });
    expect(errorOf(disk, (done) => store.addIntents([1], done)))
      .to.be.instanceOf(IoError)
      .with.property('code', 'io');
    expect([...store.intents]).to.deep.equal([]);
    intend(disk, store, 2);
    expect([...open(disk.losePower('everything')).intents], 'nor is the refused one left behind').to.deep.equal([2]);
  });

  it('an extent that does not exist is a programmer error', () => {
    const { store } = made(8 * MIB);
    expect(() => store.addIntents([8], () => undefined)).to.throw(AssertionError, /extent 8 of 8/);
  });
});

describe('the store: clean', () => {
  it('takes out what may leave, with data and stamps durable', () => {
    const { disk, store } = made();
    intend(disk, store, 1, 2, 3);
    for (const extent of [1, 2, 3]) {
      store.write(extent * MIB, [filled(512, extent)], 512);
      store.setStamp(extent, 10 + extent);
    }
    finish(disk, (done) => store.clean([1, 2, 7], (extent) => extent !== 2, done));
    expect([...store.intents]).to.deep.equal([2, 3]);
    expect([...store.changedSince(12)]).to.deep.equal([2, 3]);
    expect([...store.changedSince(0)], 'ever').to.deep.equal([1, 2, 3]);
    const found = open(disk.losePower('nothing'));
    expect([...found.intents]).to.deep.equal([2, 3]);
    expect(found.stamp(1)).to.equal(11);
    expect(found.mayHaveData(1)).to.equal(true);
    expect(found.read(MIB, 512).equals(filled(512, 1))).to.equal(true);
  });

  it('asks again before it takes out, and keeps what was written or stamped meanwhile, whatever it is told', () => {
    const { disk, store } = made();
    intend(disk, store, 1, 2, 3, 4);
    const ended = outcome();
    const asked: number[] = [];
    const mayLeave = (extent: number) => {
      asked.push(extent);
      return asked.length <= 4 || extent !== 1;
    };
    store.clean([1, 2, 3, 4], mayLeave, ended.done);
    store.write(2 * MIB, [filled(512, 1)], 512);
    store.setStamp(3, 9);
    disk.drain();
    expect(ended.result).to.deep.equal([null]);
    expect(asked).to.deep.equal([1, 2, 3, 4, 1, 4]);
    expect([...store.intents]).to.deep.equal([1, 2, 3]);
  });

  it('never writes a page that a running commit is making durable: what it took out goes with the next write', () => {
    const { disk, store } = made();
    intend(disk, store, 1);
    const [cleaned, added, again] = [outcome(), outcome(), outcome()];
    store.clean([1], always, cleaned.done);
    store.addIntents([2], added.done);
    const commit = disk.waitingCompletions.findIndex((call) => call.endsWith('intents'));
    while (!cleaned.isCalled) disk.completeNext(commit === 0 ? 1 : 0);
    expect([...store.intents]).to.deep.equal([]);
    store.addIntents([3], again.done);
    disk.completeNext(0);
    expect([added.isCalled, again.isCalled]).to.deep.equal([true, false]);
    disk.drain();
    expect([...open(disk.losePower('everything')).intents]).to.deep.equal([2, 3]);
  });

  it('never takes out what somebody waits to be told is in', () => {
    for (const isDurableBefore of [true, false]) {
      const { disk, store } = made();
      const [first, cleaned, added] = [outcome(), outcome(), outcome()];
      store.addIntents([1], first.done);
      if (isDurableBefore) disk.drain();
      // Names an extent that is in the log, or that the running commit puts there, and one that needs another commit.
      store.addIntents([1, 2], added.done);
      if (!isDurableBefore) disk.completeNext();
      store.clean([1], always, cleaned.done);
      while (!cleaned.isCalled) disk.completeNext(1);
      expect(added.isCalled).to.equal(false);
      disk.drain();
      expect([...store.intents]).to.deep.equal([1, 2]);
      expect([...open(disk.losePower('nothing')).intents]).to.deep.equal([1, 2]);
    }
  });

  it('one that cannot write stamps takes nothing out', () => {
    const { disk, store } = made();
    intend(disk, store, 1);
    store.setStamp(1, 4);
    disk.fail({ call: 'write', path: /stamps$/, code: 'EIO', times: 1 });
    expect(errorOf(disk, (done) => store.clean([1], always, done))).to.be.instanceOf(IoError);
    expect([...store.intents]).to.deep.equal([1]);
    finish(disk, (done) => store.clean([1], always, done));
    expect([...store.intents]).to.deep.equal([]);
  });

  it('with nothing to take out, costs nothing; two at a time are a programmer error', () => {
    const { disk, store } = made();
    intend(disk, store, 1);
    const before = disk.changes;
    finish(disk, (done) => store.clean([1, 2], () => false, done));
    expect(disk.changes).to.equal(before);
    store.clean([1], always, () => undefined);
    expect(() => store.clean([1], always, () => undefined)).to.throw(AssertionError, /one clean at a time/);
  });
});
