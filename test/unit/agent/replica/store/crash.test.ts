/**
 * Random work on a replica, crashes at random points that lose any part of what no sync has covered, and what must still be true: an extent
 * told to be in the log is, one that is not in the log has its data and stamp, the meta is the last or the next.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import type { FileReplicaStore } from '../../../../../agent/replica/store/store.ts';
import { EXTENT_BYTES } from '../../../../../core/extent.ts';
import { create, MIB, metaWith, open, outcome } from '../../../../support/replicaFiles.ts';
import { ReplicaModel, valueBytes, valuesAt, WRITE_BYTES } from '../../../../support/replicaModel.ts';
import { SeededRandom } from '../../../../support/seededRandom.ts';
import { SimulatedDisk } from '../../../../support/simulatedDisk.ts';

type Operation =
  | { kind: 'add'; which: number[] }
  | { kind: 'write'; which: number; stamp: boolean }
  | { kind: 'zero'; which: number; free: boolean }
  | { kind: 'stamp'; which: number }
  | { kind: 'flush' }
  | { kind: 'clean'; which: number[]; refuse: number }
  | { kind: 'saveMeta' }
  | { kind: 'grow'; extents: number }
  | { kind: 'failWrite'; file: 'intents' | 'stamps' | 'meta'; skip: number }
  | { kind: 'complete'; index: number; count: number }
  | { kind: 'kill' }
  | { kind: 'losePower'; seed: number }
  | { kind: 'close'; newBoot: boolean };

const which = fc.nat(7);
const some = fc.array(which, { minLength: 1, maxLength: 4 });

const OPERATION: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), which: some }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), which, stamp: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('zero' as const), which, free: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stamp' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('clean' as const), which: some, refuse: fc.nat(15) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('saveMeta' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grow' as const), extents: fc.integer({ min: 1, max: 500 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('failWrite' as const),
      file: fc.constantFrom('intents' as const, 'stamps' as const, 'meta' as const),
      skip: fc.nat(2),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('complete' as const), index: fc.nat(3), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('losePower' as const), seed: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), newBoot: fc.boolean() }) },
);

class Run {
  readonly #hot: readonly number[];
  readonly #model: ReplicaModel;
  #disk: SimulatedDisk;
  #store: FileReplicaStore;
  #boot = 1;
  #value = 0;
  #version = 0;
  #isCleaning = false;
  /** The last that is known to be durable, and the one that is being saved. */
  #sizeBytes: number;
  #growingTo: number;

  constructor(hot: readonly number[], extents: number, seed: number) {
    this.#hot = hot;
    this.#model = new ReplicaModel(hot);
    this.#disk = new SimulatedDisk({ shortIo: new SeededRandom(seed) });
    this.#sizeBytes = extents * MIB;
    this.#growingTo = this.#sizeBytes;
    create(this.#disk, extents * MIB);
    this.#store = open(this.#disk, 'boot-1');
  }

  perform(operation: Operation): void {
    switch (operation.kind) {
      case 'add':
        return this.#add(operation.which.map((index) => this.#extent(index)));
      case 'write':
        return this.#write(this.#extent(operation.which), operation.stamp);
      case 'zero':
        return this.#zero(this.#extent(operation.which), operation.free);
      case 'stamp':
        return this.#stamp(this.#extent(operation.which));
      case 'flush':
        return this.#flush();
      case 'clean':
        return this.#clean(
          operation.which.map((index) => this.#extent(index)),
          operation.refuse,
        );
      case 'saveMeta':
        return this.#saveMeta();
      case 'grow':
        return this.#grow(operation.extents);
      case 'failWrite':
        // A short write before it makes it fail in the middle of a page.
        return this.#disk.fail({ call: 'write', path: new RegExp(operation.file), code: 'EIO', skip: operation.skip, times: 1 });
      case 'complete':
        for (let count = 0; count < operation.count; count++) this.#disk.completeNext(operation.index);
        return;
      case 'kill':
        return this.#reopen(this.#disk.killProcess(), false);
      case 'losePower':
        this.#boot++;
        return this.#reopen(this.#disk.losePower(new SeededRandom(operation.seed)), true);
      case 'close':
        return this.#close(operation.newBoot);
    }
  }

  check(): void {
    this.#model.checkRunning(this.#store);
  }

  #extent(index: number): number {
    return this.#hot[index % this.#hot.length] ?? 0;
  }

  #add(extents: number[]): void {
    this.#store.addIntents(extents, (error) => {
      // A page that could not be written: nothing was promised.
      if (error) return;
      for (const extent of extents) this.#model.extent(extent).isLogged = true;
    });
  }

  /** As a session does it: what is in the log may be written, also while it is being cleaned. */
  #write(extent: number, withStamp: boolean): void {
    if (!this.#store.intents.has(extent)) return;
    this.#store.write(extent * EXTENT_BYTES, [valueBytes(++this.#value)], WRITE_BYTES);
    this.#model.extent(extent).values.push(this.#value);
    if (withStamp) this.#stamp(extent);
  }

  #zero(extent: number, free: boolean): void {
    if (!this.#store.intents.has(extent)) return;
    this.#store.zero(extent * EXTENT_BYTES, EXTENT_BYTES, free);
    this.#model.extent(extent).values.push(0);
  }

  #stamp(extent: number): void {
    if (!this.#store.intents.has(extent)) return;
    this.#store.setStamp(extent, ++this.#version);
    this.#model.extent(extent).stamp = this.#version;
  }

  #flush(): void {
    const succeeded = this.#model.beginFlush();
    this.#store.flush((error) => {
      if (error) throw error;
      succeeded();
    });
  }

  /** The store has to keep what is written meanwhile by itself; `mayLeave` only refuses what it was told to, and what was added again. */
  #clean(extents: number[], refuse: number): void {
    if (this.#isCleaning) return;
    const asked = extents.filter((extent) => this.#store.intents.has(extent));
    for (const extent of asked) this.#model.extent(extent).isLogged = false;
    this.#isCleaning = true;
    let calls = 0;
    const mayLeave = (extent: number) => !this.#model.extent(extent).isLogged && ((refuse >> (calls++ % 4)) & 1) === 0;
    this.#store.clean(asked, mayLeave, (error) => {
      // With an error too: some have left, or none.
      this.#isCleaning = false;
      if (error) expect(error.message).to.match(/write .*EIO/);
      for (const extent of asked) if (this.#store.intents.has(extent)) this.#model.extent(extent).isLogged = true;
    });
  }

  #saveMeta(): void {
    if (this.#model.savingEpoch !== null) return;
    const epoch = this.#store.meta.promisedEpoch + 1;
    this.#model.savingEpoch = epoch;
    this.#store.saveMeta(metaWith(this.#store, { promisedEpoch: epoch }), (error) => {
      if (!error) this.#model.epoch = epoch;
      this.#model.savingEpoch = null;
    });
  }

  /** As a session does it: files, then meta; it may be asked again while it is on its way. */
  #grow(extents: number): void {
    const sizeBytes = this.#store.meta.sizeBytes + extents * MIB;
    const store = this.#store;
    store.extend(sizeBytes, (error) => {
      if (error || this.#model.savingEpoch !== null) return;
      const { promisedEpoch } = store.meta;
      this.#model.savingEpoch = promisedEpoch;
      this.#growingTo = Math.max(store.meta.sizeBytes, sizeBytes);
      store.saveMeta(metaWith(store, { sizeBytes: this.#growingTo }), (saveError) => {
        if (!saveError) this.#sizeBytes = this.#growingTo;
        this.#model.savingEpoch = null;
      });
    });
  }

  #close(newBoot: boolean): void {
    const closed = outcome();
    this.#disk.mend();
    this.#store.close(closed.done);
    this.#disk.drain();
    if (closed.result[0]) throw closed.result[0];
    if (newBoot) this.#boot++;
    // All of it was made durable: losing power now loses nothing, and is no reason for suspicion.
    const disk = newBoot ? this.#disk.losePower('everything') : this.#disk.killProcess();
    this.#reopen(disk, false);
  }

  #reopen(disk: SimulatedDisk, lostPower: boolean): void {
    this.#disk = disk;
    this.#isCleaning = false;
    this.#store = open(disk, `boot-${this.#boot}`);
    this.#model.checkFound(this.#store, lostPower);
    expect(this.#store.meta.sizeBytes, 'the size is the last or the next').to.be.oneOf([this.#sizeBytes, this.#growingTo]);
    expect(this.#store.intents.extents).to.equal(this.#store.meta.sizeBytes / MIB);
    this.#sizeBytes = this.#growingTo = this.#store.meta.sizeBytes;
    this.#version = Math.max(this.#version, ...this.#hot.map((extent) => this.#store.stamp(extent)));
    // Torn in halves: it is in doubt, and is levelled before anything else.
    for (const extent of this.#hot) {
      const [one, other] = valuesAt(this.#store, extent);
      if (one !== other) this.#write(extent, true);
    }
  }
}

function property(hot: readonly number[], extents: number, operations: number): fc.IProperty<[Operation[], number]> {
  return fc.property(fc.array(OPERATION, { minLength: 10, maxLength: operations, size: 'max' }), fc.nat(), (list, seed) => {
    const run = new Run(hot, extents, seed);
    for (const operation of list) {
      run.perform(operation);
      run.check();
    }
    run.perform({ kind: 'losePower', seed });
  });
}

describe('crashes of a replica', () => {
  it('lose nothing that was durable, and nothing that is not in doubt', () => {
    fc.assert(property([0, 1, 7, 59, 60, 61, 62, 63], 64, 150), { numRuns: 400 });
  }).timeout(120_000);

  it('also where the files have many pages', () => {
    fc.assert(property([0, 479, 480, 30_719, 30_720, 30_721], 30_722, 80), { numRuns: 15 });
  }).timeout(120_000);
});
