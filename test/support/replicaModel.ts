/**
 * What must be true of a replica's files after a crash, whatever was lost: a naive twin of the store that remembers everything it was asked and
 * told. Checks, never predicts which of the allowed outcomes comes.
 */
import { expect } from 'chai';
import type { FileReplicaStore } from '../../agent/replica/store/store.ts';
import { EXTENT_BYTES } from '../../core/extent.ts';

export const SECTOR = 512;
/** A write covers two sectors, so that it can be torn. */
export const WRITE_BYTES = 2 * SECTOR;

type ExtentModel = {
  /** Everything its start ever held, oldest first; 0 for zeroes. */
  values: number[];
  /** Values before this index cannot come back: a later one was flushed. */
  durableFrom: number;
  stamp: number;
  /** It was told to be in the log, and was not asked to leave since. Else it may be in the file or not. */
  isLogged: boolean;
};

export class ReplicaModel {
  readonly extents: ReadonlyMap<number, ExtentModel>;
  /** The last epoch known to be durable, and the one that is being saved. */
  epoch = 0;
  savingEpoch: number | null = null;
  suspect = false;

  constructor(extents: readonly number[]) {
    this.extents = new Map(extents.map((extent) => [extent, { values: [0], durableFrom: 0, stamp: 0, isLogged: false }]));
  }

  extent(extent: number): ExtentModel {
    const model = this.extents.get(extent);
    if (!model) throw new Error(`extent ${extent} is not in the model`);
    return model;
  }

  /** What a flush that begins now will make durable when it succeeds. */
  beginFlush(): () => void {
    const written = [...this.extents].map(([extent, { values }]) => [extent, values.length - 1] as const);
    return () => {
      for (const [extent, index] of written) this.extent(extent).durableFrom = Math.max(this.extent(extent).durableFrom, index);
    };
  }

  /** While the process lives: memory is never wrong. */
  checkRunning(store: FileReplicaStore): void {
    for (const [extent, model] of this.extents) {
      if (model.isLogged) expect(store.intents.has(extent), `extent ${extent} is in the log`).to.equal(true);
      expect(store.stamp(extent), `stamp of ${extent}`).to.equal(model.stamp);
      expect(valuesAt(store, extent), `data of ${extent}`).to.deep.equal([model.values.at(-1), model.values.at(-1)]);
    }
    expect(store.meta.promisedEpoch).to.equal(this.epoch);
  }

  /** After a crash. `lostPower`: what was only in the cache may be gone, too. From here on the model is what was found. */
  checkFound(store: FileReplicaStore, lostPower: boolean): void {
    for (const [extent, model] of this.extents) {
      const isInLog = store.intents.has(extent);
      if (model.isLogged) expect(isInLog, `extent ${extent} is still in the log`).to.equal(true);
      const found = valuesAt(store, extent);
      if (!isInLog) this.#checkSettled(store, extent, model, found);
      else this.#checkInDoubt(store, extent, model, found, lostPower);
      model.stamp = store.stamp(extent);
      model.isLogged = isInLog;
      // What survived the power is durable. What survived the process is not: the power may still take it.
      if (lostPower) Object.assign(model, { values: [...new Set(found)], durableFrom: 0 });
    }
    const epochs = this.savingEpoch === null ? [this.epoch] : [this.epoch, this.savingEpoch];
    expect(epochs, 'the meta is the last or the next').to.include(store.meta.promisedEpoch);
    this.epoch = store.meta.promisedEpoch;
    this.savingEpoch = null;
    this.suspect ||= lostPower;
    expect(store.meta.suspect, 'suspect').to.equal(this.suspect);
  }

  #checkSettled(store: FileReplicaStore, extent: number, model: ExtentModel, found: number[]): void {
    const last = model.values.at(-1);
    expect(found, `data of ${extent}, not in the log`).to.deep.equal([last, last]);
    expect(store.stamp(extent), `stamp of ${extent}, not in the log`).to.equal(model.stamp);
    if (last !== 0) expect(store.mayHaveData(extent), `extent ${extent}, not in the log, has data`).to.equal(true);
  }

  #checkInDoubt(store: FileReplicaStore, extent: number, model: ExtentModel, found: number[], lostPower: boolean): void {
    const possible = model.values.slice(lostPower ? model.durableFrom : -1);
    for (const value of found) expect(possible, `data of ${extent}, in the log`).to.include(value);
    expect(store.stamp(extent), `stamp of ${extent}, in the log`).to.be.at.most(model.stamp);
    expect(store.mayHaveData(extent), `extent ${extent}, in the log, may have data`).to.equal(true);
    expect(store.changedSince(2 ** 40).has(extent), `extent ${extent}, in the log, counts as changed`).to.equal(true);
  }
}

export const valueBytes = (value: number): Buffer => {
  const bytes = Buffer.alloc(WRITE_BYTES);
  for (let at = 0; at < WRITE_BYTES; at += 4) bytes.writeUInt32LE(value, at);
  return bytes;
};

/** What the two sectors at an extent's start hold; each must be all of one write. */
export function valuesAt(store: FileReplicaStore, extent: number): number[] {
  const bytes = store.read(extent * EXTENT_BYTES, WRITE_BYTES);
  return [0, SECTOR].map((start) => {
    const value = bytes.readUInt32LE(start);
    expect(bytes.subarray(start, start + SECTOR).equals(valueBytes(value).subarray(0, SECTOR)), 'a sector is of one write').to.equal(true);
    return value;
  });
}
