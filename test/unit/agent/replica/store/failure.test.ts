/** A failed sync ends a replica, durably and before anybody is told; and the rule of the boot id. */
import { expect } from 'chai';
import type { Done } from '../../../../../agent/ports.ts';
import { DamagedReplica } from '../../../../../agent/replica/store/errors.ts';
import type { FileReplicaStore } from '../../../../../agent/replica/store/store.ts';
import { BOOT, create, errorOf, finish, intend, made, metaWith, open, outcome, tryOpen } from '../../../../support/replicaFiles.ts';
import { type DiskCall, SimulatedDisk } from '../../../../support/simulatedDisk.ts';

type Case = { what: string; call: DiskCall; path: RegExp; act: (store: FileReplicaStore, done: Done) => void };

const CASES: readonly Case[] = [
  { what: 'data, by a flush', call: 'syncData', path: /data$/, act: (store, done) => store.flush(done) },
  { what: 'data, by a clean', call: 'syncData', path: /data$/, act: (store, done) => store.clean([0], () => true, done) },
  { what: 'stamps, by a clean', call: 'syncData', path: /stamps$/, act: (store, done) => store.clean([0], () => true, done) },
  { what: 'intents, by a commit', call: 'syncData', path: /intents$/, act: (store, done) => store.addIntents([1], done) },
  {
    what: 'the new meta',
    call: 'syncAll',
    path: /meta.next$/,
    act: (store, done) => store.saveMeta(metaWith(store, { promisedEpoch: 2 }), done),
  },
  {
    what: 'the directory',
    call: 'syncDirectory',
    path: /./,
    act: (store, done) => store.saveMeta(metaWith(store, { promisedEpoch: 2 }), done),
  },
];

/** A replica with a written and stamped extent in its log. */
function used() {
  const { disk, store } = made();
  intend(disk, store, 0);
  store.write(0, [Buffer.alloc(512, 1)], 512);
  store.setStamp(0, 3);
  return { disk, store };
}

describe('a failed sync', () => {
  for (const { what, call, path, act } of CASES) {
    it(`of ${what}: the replica is failed, durably and before it is told`, () => {
      const { disk, store } = used();
      disk.fail({ call, path, code: 'EIO', times: 1 });
      const ended = outcome();
      act(store, ended.done);
      while (!ended.isCalled) expect(disk.completeNext(), 'somebody is called back').to.equal(true);
      expect(ended.result[0]?.message).to.match(/f(data)?sync of .* failed: .*EIO/);
      const next = tryOpen(disk.losePower('everything'), 'boot-2');
      expect(next.error).to.be.instanceOf(DamagedReplica);
      expect(next.error?.message).to.match(/meta: the replica has failed: f(data)?sync of .* failed: .*EIO/);
    });

    it(`of ${what}: nothing is synced again, and everything is refused`, () => {
      const { disk, store } = used();
      disk.fail({ call, path, code: 'EIO', times: 1 });
      const first = errorOf(disk, (done) => act(store, done));
      expect(store.meta.failed).to.equal(first?.message);
      const before = disk.changes;
      for (const other of CASES)
        expect(
          errorOf(disk, (done) => other.act(store, done)),
          other.what,
        ).to.equal(first);
      const meta = metaWith(store, { failed: null });
      expect(errorOf(disk, (done) => store.saveMeta(meta, done))).to.equal(first);
      for (const attempt of [
        () => store.read(0, 512),
        () => store.write(0, [Buffer.alloc(512)], 512),
        () => store.zero(0, 512, true),
        () => store.setStamp(0, 4),
      ]) {
        expect(attempt).to.throw(first?.message ?? 'no error');
      }
      expect(disk.changes, 'the disk is left alone').to.equal(before);
      expect(
        errorOf(disk, (done) => store.close(done)),
        'closing says it too',
      ).to.equal(first);
      expect(disk.changes).to.equal(before);
    });
  }

  it('those who wait for the same or the next sync hear of it too, and no second one is made', () => {
    const { disk, store } = used();
    const [running, next, cleaned] = [outcome(), outcome(), outcome()];
    disk.fail({ call: 'syncData', path: /data$/, code: 'EIO', times: 1 });
    store.flush(running.done);
    store.write(0, [Buffer.alloc(512, 2)], 512);
    store.flush(next.done);
    store.clean([0], () => true, cleaned.done);
    let dataSyncs = 0;
    while (disk.waitingCompletions.length > 0) {
      if (disk.waitingCompletions[0]?.endsWith('data')) dataSyncs++;
      disk.completeNext();
    }
    expect(dataSyncs).to.equal(1);
    expect(new Set([running, next, cleaned].map((ended) => ended.result[0])).size, 'one error for all').to.equal(1);
    expect([...store.intents]).to.deep.equal([0]);
  });

  it('a save that is under way cannot put the old meta in the place of the failure', () => {
    for (const completedFirst of [0, 1]) {
      const { disk, store } = used();
      disk.fail({ call: 'syncData', path: /data$/, code: 'EIO', times: 1 });
      const [saved, flushed] = [outcome(), outcome()];
      store.saveMeta(metaWith(store, { promisedEpoch: 8 }), saved.done);
      store.flush(flushed.done);
      // The flush fails while the save waits for its first, then for its second sync; that one ends last.
      if (completedFirst === 1) disk.completeNext();
      disk.completeNext(disk.waitingCompletions.findIndex((call) => call.endsWith('data')));
      while (disk.waitingCompletions.length > 1) disk.completeNext(1);
      disk.drain();
      expect(saved.result[0], `${completedFirst}`).to.equal(flushed.result[0]);
      for (const loss of ['everything', 'nothing'] as const) {
        expect(tryOpen(disk.losePower(loss), 'boot-2').error?.message, loss).to.match(/the replica has failed/);
      }
    }
  });

  it('a disk that cannot even keep the failure still gives every caller an answer', () => {
    const { disk, store } = used();
    disk.fail({ call: 'syncData', path: /data$/, code: 'EIO' });
    disk.fail({ call: 'write', path: /meta/, code: 'EIO' });
    const error = errorOf(disk, (done) => store.flush(done));
    expect(error).to.have.property('code', 'io');
    expect(store.meta.failed).to.equal(error?.message);
  });

  it('tells whoever opened the replica, once', () => {
    const disk = new SimulatedDisk();
    create(disk, 4096);
    const reasons: string[] = [];
    const store = open(disk, BOOT, (reason) => reasons.push(reason));
    disk.fail({ call: 'syncData', code: 'EIO' });
    finish(disk, (done) => store.flush(() => done(null)));
    finish(disk, (done) => store.addIntents([0], () => done(null)));
    expect(reasons).to.have.length(1);
  });

  it('when it happens while opening, the replica is not opened, and is failed from then on', () => {
    for (const path of [/intents$/, /stamps$/, /meta.next$/]) {
      const disk = new SimulatedDisk();
      create(disk, 4096);
      disk.fail({ call: path.source.startsWith('meta') ? 'syncAll' : 'syncData', path, code: 'EIO', times: 1 });
      expect(tryOpen(disk).error, path.source).to.be.instanceOf(Error);
      expect(tryOpen(disk).error?.message, path.source).to.match(/the replica has failed/);
    }
  });
});

describe('the boot id', () => {
  const isSuspectAfter = (end: (disk: SimulatedDisk, store: FileReplicaStore) => SimulatedDisk, bootId: string) => {
    const { disk, store } = made();
    const found = open(end(disk, store), bootId);
    expect(found.meta.openBootId).to.equal(bootId);
    return found.meta.suspect;
  };

  it('a process that was killed, then started again in the same boot: not suspect', () => {
    expect(isSuspectAfter((disk) => disk.killProcess(), BOOT)).to.equal(false);
  });

  it('open at the end of a boot: suspect, even if the disk kept everything', () => {
    expect(isSuspectAfter((disk) => disk.losePower('nothing'), 'boot-2')).to.equal(true);
    expect(isSuspectAfter((disk) => disk.losePower('everything'), 'boot-2')).to.equal(true);
  });

  it('closed cleanly: not suspect', () => {
    const closeFirst = (disk: SimulatedDisk, store: FileReplicaStore) => {
      finish(disk, (done) => store.close(done));
      return disk.losePower('everything');
    };
    expect(isSuspectAfter(closeFirst, 'boot-2')).to.equal(false);
  });

  it('suspicion is durable before the replica answers, and lasts until it is taken away, through clean closes and boots', () => {
    const { disk } = made();
    const second = disk.losePower('everything');
    open(second, 'boot-2');
    const third = second.losePower('everything');
    const store = open(third, 'boot-2');
    expect(store.meta.suspect, 'the same boot again').to.equal(true);
    finish(third, (done) => store.close(done));
    const fourth = third.losePower('everything');
    const again = open(fourth, 'boot-4');
    expect(again.meta.suspect).to.equal(true);
    finish(fourth, (done) => again.saveMeta(metaWith(again, { suspect: false }), done));
    finish(fourth, (done) => again.close(done));
    expect(open(fourth.losePower('everything'), 'boot-5').meta.suspect).to.equal(false);
  });

  it('a second opening in the same boot writes no meta', () => {
    const { disk } = made();
    const next = disk.killProcess();
    const before = next.peek('/pool/00112233aabbccdd/meta.next');
    open(next);
    expect(next.peek('/pool/00112233aabbccdd/meta.next')?.equals(before ?? Buffer.alloc(0))).to.equal(true);
  });
});
