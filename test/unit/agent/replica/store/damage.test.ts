/**
 * Every state file cut at every class of length and flipped at every class of offset: the replica is damaged and says which file, or it is
 * exactly as it was. Never a third thing.
 */
import { expect } from 'chai';
import { DamagedReplica, LaterFormat } from '../../../../../agent/replica/store/errors.ts';
import type { FileReplicaStore } from '../../../../../agent/replica/store/store.ts';
import { plainRecord, plainSector, plainSlot, type SectorFields } from '../../../../support/replicaFileBuilder.ts';
import {
  create,
  DIRECTORY,
  finish,
  intend,
  MIB,
  metaWith,
  type OpenResult,
  open,
  REPLICA,
  tryOpen,
  VOLUME,
} from '../../../../support/replicaFiles.ts';
import { SimulatedDisk } from '../../../../support/simulatedDisk.ts';

/** Two pages of stamps, the second with one in it. */
const EXTENTS = 481;
const SIZE = EXTENTS * MIB;
const PAGE = 4096;
const SECTOR = 512;
const STATE_FILES = ['intents', 'stamps', 'meta'] as const;
type StateFile = (typeof STATE_FILES)[number];
type Files = Record<StateFile, Buffer>;

type Facts = { intents: number[]; stamps: string; promisedEpoch: number };

const factsOf = (store: FileReplicaStore): Facts => ({
  intents: [...store.intents],
  stamps: Array.from({ length: EXTENTS }, (_, extent) => `${store.stamp(extent)}${store.mayHaveData(extent) ? '+' : ''}`).join(' '),
  promisedEpoch: store.meta.promisedEpoch,
});

function diskWith(files: Partial<Files>, dataBytes: number | null = SIZE): SimulatedDisk {
  const disk = new SimulatedDisk();
  disk.makeDirectory(DIRECTORY);
  if (dataBytes !== null) disk.createFile(`${DIRECTORY}/data`).truncate(dataBytes);
  for (const name of STATE_FILES) if (files[name]) disk.tamper(`${DIRECTORY}/${name}`, files[name]);
  // All of it durable.
  return disk.losePower('nothing');
}

/** Cleanly closed after so many rounds of adding, stamping and cleaning: so that either slot of each page has been the newest. */
function history(rounds: number): { files: Files; facts: Facts } {
  const disk = new SimulatedDisk();
  create(disk, SIZE);
  const store = open(disk);
  for (let round = 1; round <= rounds; round++) {
    intend(disk, store, round, 480 - round);
    store.setStamp(round, 100 + round);
    store.setStamp(480 - round, 200 + round);
    if (round % 2 === 0) finish(disk, (done) => store.clean([round], () => true, done));
    finish(disk, (done) => store.saveMeta(metaWith(store, { promisedEpoch: round }), done));
  }
  finish(disk, (done) => store.close(done));
  const file = (name: StateFile) => disk.peek(`${DIRECTORY}/${name}`) ?? Buffer.alloc(0);
  const files = { intents: file('intents'), stamps: file('stamps'), meta: file('meta') };
  return { files, facts: factsOf(open(diskWith(files))) };
}

const HISTORIES = [0, 1, 2, 3].map(history);

/** Damaged in that file, or exactly as it was. True: it was healed. */
function expectDamagedOrSame(result: OpenResult, file: StateFile, facts: Facts, what: string): boolean {
  if (result.store) {
    expect(factsOf(result.store), what).to.deep.equal(facts);
    return true;
  }
  expect(result.error, what).to.be.instanceOf(DamagedReplica);
  expect((result.error as DamagedReplica).file, what).to.equal(file);
  expect((result.error as DamagedReplica).reason, what).to.have.length.above(10);
  return false;
}

const flip = (bytes: Buffer, index: number, mask: number): Buffer => {
  const flipped = Buffer.from(bytes);
  flipped[index] = (flipped[index] ?? 0) ^ mask;
  return flipped;
};

/** Some bits of every header byte, more in a slot's first sector; one bit here and there of the bodies. */
function* flipsOf(file: StateFile, bytes: Buffer): Generator<[number, number]> {
  for (let index = 0; index < bytes.length; index++) {
    const isHeader = file === 'meta' || index % SECTOR < 32;
    const isFirst = index % PAGE < SECTOR;
    if (isHeader) for (let bit = index % 3; bit < 8; bit += isFirst ? 3 : 8) yield [index, 1 << bit];
    else if (index % 61 === 0) yield [index, 1 << (index % 8)];
  }
}

describe('damage to a replica’s files', () => {
  for (const name of STATE_FILES) {
    it(`a flipped bit anywhere in ${name}: damaged, or healed from the other slot`, () => {
      const results = HISTORIES.flatMap(({ files, facts }) =>
        [...flipsOf(name, files[name])].map(([index, mask]) => {
          const result = tryOpen(diskWith({ ...files, [name]: flip(files[name], index, mask) }));
          return expectDamagedOrSame(result, name, facts, `byte ${index}, mask ${mask}`);
        }),
      );
      const healed = results.filter((isHealed) => isHealed).length;
      expect(results.length - healed, 'damage is noticed').to.be.above(500);
      if (name === 'meta') expect(healed, 'meta has no second copy').to.equal(0);
      else expect(healed, 'every older slot heals').to.be.closeTo(results.length / 2, 30);
    }).timeout(60_000);
  }

  it('what healed goes on being right', () => {
    const { files, facts } = HISTORIES[3] ?? { files: {}, facts: null };
    for (let index = 0; index < 2 * PAGE; index += SECTOR) {
      const intents = flip(files.intents ?? Buffer.alloc(0), index + 40, 1);
      const disk = diskWith({ ...files, intents });
      const { store } = tryOpen(disk);
      if (!store) continue;
      intend(disk, store, 300);
      const found = tryOpen(disk.losePower('everything'));
      expect(found.store && [...found.store.intents]).to.deep.equal([...(facts?.intents ?? []), 300].sort((one, other) => one - other));
    }
  });

  it('a whole slot, page or file of zeroes, ones or somebody else’s bytes', () => {
    const { files, facts } = HISTORIES[2] ?? { files: {} as Files, facts: {} as Facts };
    for (const name of ['intents', 'stamps'] as const) {
      for (let at = 0; at < files[name].length; at += PAGE) {
        for (const fill of [0, 0xff, 0x5a]) {
          for (const length of [PAGE, 2 * PAGE, files[name].length]) {
            const bytes = Buffer.from(files[name]).fill(fill, at, Math.min(files[name].length, at + length));
            expectDamagedOrSame(
              tryOpen(diskWith({ ...files, [name]: bytes })),
              name,
              facts,
              `${name} at ${at}: ${length} bytes of ${fill}`,
            );
          }
        }
      }
    }
    expectDamagedOrSame(
      tryOpen(diskWith({ ...files, intents: files.stamps.subarray(0, 2 * PAGE) })),
      'intents',
      facts,
      'stamps as intents',
    );
  });

  it('files cut short', () => {
    const { files, facts } = HISTORIES[1] ?? { files: {} as Files, facts: {} as Facts };
    for (const name of STATE_FILES) {
      const whole = files[name];
      const classes = [0, 1, 31, 32, 511, 512, 513, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE, whole.length - 1];
      const lengths = name === 'meta' ? Array.from({ length: whole.length }, (_, length) => length) : classes;
      for (const length of lengths.filter((candidate) => candidate < whole.length)) {
        const result = tryOpen(diskWith({ ...files, [name]: whole.subarray(0, length) }));
        expect(expectDamagedOrSame(result, name, facts, `${name} cut to ${length}`), `${name} cut to ${length}`).to.equal(false);
      }
    }
    for (const dataBytes of [0, 1, PAGE, SIZE - 1]) {
      const { error } = tryOpen(diskWith(files, dataBytes));
      expect(error?.message).to.equal(`data: it is ${dataBytes} bytes long, not ${SIZE}`);
    }
  });

  it('files that are too long are as a growth that came to nothing leaves them, but for the meta', () => {
    const { files, facts } = HISTORIES[1] ?? { files: {} as Files, facts: {} as Facts };
    for (const name of STATE_FILES) {
      const whole = files[name];
      for (const more of [1, SECTOR, PAGE, whole.length]) {
        const result = tryOpen(diskWith({ ...files, [name]: Buffer.concat([whole, Buffer.alloc(more)]) }));
        expect(expectDamagedOrSame(result, name, facts, `${name} longer by ${more}`)).to.equal(name !== 'meta');
      }
    }
    for (const dataBytes of [SIZE + 1, 2 * SIZE]) expect(tryOpen(diskWith(files, dataBytes)).error).to.equal(null);
  });

  it('files that are missing', () => {
    const { files } = HISTORIES[1] ?? { files: {} as Files };
    for (const name of STATE_FILES) {
      const { [name]: _, ...others } = files;
      expect(tryOpen(diskWith(others)).error?.message).to.equal(`${name}: it is missing`);
    }
    expect(tryOpen(diskWith(files, null)).error?.message).to.equal('data: it is missing');
  });

  it('sectors with a good checksum that say something wrong are told by what they say', () => {
    const { files } = HISTORIES[0] ?? { files: {} as Files };
    const good = { magic: 'HFin', format: 1, slot: 1, sector: 0, page: 0, generation: 2n, replica: REPLICA, body: new Uint8Array(480) };
    const cases: [Partial<SectorFields>, RegExp][] = [
      [{ magic: 'HFst' }, /slot 1, sector 0: the magic is "HFst", not HFin/],
      [{ format: 2 }, /format 2 is not known, only 1/],
      [{ slot: 0 }, /it is sector 0 of slot 0 of page 0/],
      [{ sector: 3 }, /it is sector 3 of slot 1 of page 0/],
      [{ page: 9 }, /it is sector 0 of slot 1 of page 9/],
      [{ replica: 'ffffffffffffffff' }, /it belongs to replica ffffffffffffffff/],
      [{ generation: 0n }, /generation 0 is out of range/],
      [{ generation: 2n ** 60n }, /generation \d+ is out of range/],
    ];
    for (const [wrong, reason] of cases) {
      const intents = Buffer.from(files.intents);
      intents.set(plainSector({ ...good, ...wrong }), PAGE);
      const { error } = tryOpen(diskWith({ ...files, intents }));
      expect(
        (error as DamagedReplica | null)?.reason,
        JSON.stringify(wrong, (_, value) => String(value)),
      ).to.match(reason);
    }
  });

  it('pages with good checksums that cannot be', () => {
    const { files } = HISTORIES[0] ?? { files: {} as Files };
    const slots = (...given: [number, number, Uint8Array][]) =>
      Buffer.concat(given.map(([slot, generation, body]) => plainSlot('HFin', REPLICA, 0, slot, generation, body)));
    const empty = new Uint8Array(0);
    const beyond = new Uint8Array(3840);
    beyond[Math.ceil(EXTENTS / 8)] = 1;
    const reasonOf = (changed: Partial<Files>) => (tryOpen(diskWith({ ...files, ...changed })).error as DamagedReplica | null)?.reason;
    expect(reasonOf({ intents: slots([0, 5, empty], [1, 5, empty]) })).to.match(/both slots are of generation 5/);
    expect(reasonOf({ intents: slots([0, 5, beyond], [1, 4, empty]) })).to.match(/behind the end of the volume/);
    const flags = new Uint8Array(3840);
    flags[6] = 2;
    const stamps = Buffer.from(files.stamps);
    stamps.set(plainSlot('HFst', REPLICA, 0, 1, 9, flags), PAGE);
    expect(reasonOf({ stamps })).to.match(/extent 0: the flags 2 are not known/);
  });

  it('metas with a good checksum that break a rule are told by the rule', () => {
    const { files } = HISTORIES[0] ?? { files: {} as Files };
    const good = JSON.parse(files.meta.toString().split('\n')[0] ?? '') as Record<string, unknown>;
    const cases: [Record<string, unknown>, string][] = [
      [{ format: 0 }, 'format must be 1 (is 0)'],
      [{ format: '2' }, 'format must be 1 (is "2")'],
      [{ volume: '../x' }, 'volume must be a volume uid (is "../x")'],
      [{ replica: 'ffffffffffffffff' }, 'it belongs to replica ffffffffffffffff'],
      [{ sizeBytes: 5000 }, 'sizeBytes must be a multiple of 4096, above 0 and at most 70368744177664 (is 5000)'],
      [{ promisedEpoch: '3' }, 'promisedEpoch must be a count (is "3")'],
      [{ promisedInstance: 7 }, 'promisedInstance must be an instance id or null (is 7)'],
      [{ openBootId: undefined }, 'openBootId must be a text or null (is undefined)'],
      [{ suspect: 0 }, 'suspect must be true or false (is 0)'],
      [{ config: { uid: VOLUME } }, `config must be a volume config or null (is {"uid":"${VOLUME}"})`],
    ];
    for (const [wrong, reason] of cases) {
      const meta = plainRecord(JSON.stringify({ ...good, ...wrong }));
      expect((tryOpen(diskWith({ ...files, meta })).error as DamagedReplica | null)?.reason).to.equal(reason);
    }
    for (const value of ['null', '[]', '7']) {
      expect((tryOpen(diskWith({ ...files, meta: plainRecord(value) })).error as DamagedReplica | null)?.reason).to.equal(
        'it must be a map',
      );
    }
    const later = tryOpen(diskWith({ ...files, meta: plainRecord(JSON.stringify({ ...good, format: 2 })) })).error;
    expect(later, 'it is not damaged').to.be.instanceOf(LaterFormat);
    const { error } = tryOpen(diskWith({ ...files, meta: plainRecord(JSON.stringify({ ...good, sizeBytes: SIZE + 4096 })) }));
    expect(error?.message).to.equal(`data: it is ${SIZE} bytes long, not ${SIZE + 4096}`);
  });

  it('a disk that does not answer is an error like any other, and closes what was opened', () => {
    for (const path of [/meta$/, /data$/, /intents$/, /stamps$/]) {
      for (const call of ['openFile', 'read'] as const) {
        if (call === 'read' && path.source.startsWith('data')) continue;
        const disk = diskWith(HISTORIES[0]?.files ?? {});
        disk.fail({ call, path, code: 'EIO', times: 1 });
        expect(tryOpen(disk).error?.message, `${call} ${path.source}`).to.match(/EIO/);
        expect(tryOpen(disk).error, 'and may succeed later').to.equal(null);
      }
    }
  });
});

describe('a torn write of a page', () => {
  const before = plainSlot('HFin', REPLICA, 0, 0, 3, Uint8Array.of(1));
  const replaced = plainSlot('HFin', REPLICA, 0, 1, 2, new Uint8Array(0));
  const written = plainSlot('HFin', REPLICA, 0, 1, 4, Uint8Array.of(3));
  const torn = (mask: number, older: Buffer, newer: Buffer): Buffer => {
    const bytes = Buffer.from(older);
    for (let sector = 0; sector < 8; sector++) {
      if (mask & (1 << sector)) bytes.set(newer.subarray(sector * SECTOR, (sector + 1) * SECTOR), sector * SECTOR);
    }
    return bytes;
  };
  const openWith = (slots: Buffer) => {
    const disk = diskWith({ ...(HISTORIES[0]?.files ?? {}), intents: slots });
    return { disk, store: open(disk) };
  };

  it('any of the 256 ways to lose sectors of it leaves the page as it was, or as it was written', () => {
    for (let mask = 0; mask < 256; mask++) {
      const { store } = openWith(Buffer.concat([before, torn(mask, replaced, written)]));
      expect([...store.intents], `mask ${mask}`).to.deep.equal(mask === 255 ? [0, 1] : [0]);
    }
  });

  it('and the write after that, torn as well, is never mixed up with it', () => {
    for (const mask of [0b1, 0b1000_0000, 0b1010_1010, 0b0111_1111, 0b1111_1110]) {
      for (let second = 0; second < 256; second++) {
        const { disk, store } = openWith(Buffer.concat([before, torn(mask, replaced, written)]));
        const slotBefore = disk.peek(`${DIRECTORY}/intents`) ?? Buffer.alloc(0);
        intend(disk, store, 2);
        const slotAfter = disk.peek(`${DIRECTORY}/intents`) ?? Buffer.alloc(0);
        expect(slotAfter.subarray(0, PAGE).equals(slotBefore.subarray(0, PAGE)), 'the slot that counts is not touched').to.equal(true);
        const found = openWith(Buffer.concat([before, torn(second, slotBefore.subarray(PAGE), slotAfter.subarray(PAGE))]));
        expect([...found.store.intents], `masks ${mask}, ${second}`).to.deep.equal(second === 255 ? [0, 2] : [0]);
      }
    }
  });
});
