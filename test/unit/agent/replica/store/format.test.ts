/** The bytes on the disk, compared with what an independent builder makes of the format's description. */
import { expect } from 'chai';
import { encodePage, PAGE_BYTES } from '../../../../../agent/replica/store/page.ts';
import { decodeRecord, encodeRecord } from '../../../../../agent/replica/store/record.ts';
import { plainRecord, plainSlot } from '../../../../support/replicaFileBuilder.ts';
import { create, DIRECTORY, finish, intend, MIB, made, metaWith, open, REPLICA, VOLUME } from '../../../../support/replicaFiles.ts';
import { SimulatedDisk } from '../../../../support/simulatedDisk.ts';

const EMPTY = new Uint8Array(0);
const file = (disk: SimulatedDisk, name: string): Buffer => disk.peek(`${DIRECTORY}/${name}`) ?? Buffer.alloc(0);

describe('the format of a replica’s files', () => {
  it('a page has a header in each of its sectors, little-endian, with the checksum first', () => {
    const body = Uint8Array.from({ length: 3840 }, (_, index) => (index * 7) & 0xff);
    const encoded = Buffer.alloc(PAGE_BYTES, 0xee);
    encodePage(encoded, { name: 'stamps', replica: REPLICA }, { page: 0x01020304, slot: 1, generation: 2 ** 40 + 5 }, body);
    expect(encoded.equals(plainSlot('HFst', REPLICA, 0x01020304, 1, 2 ** 40 + 5, body))).to.equal(true);
    expect(encoded.subarray(4, 12).toString('hex'), 'the first bytes, for whoever reads a dump').to.equal('4846737401000100');
  });

  it('a new replica of 1 GiB: one page of intents and three of stamps, both slots written, data all hole', () => {
    const disk = new SimulatedDisk();
    create(disk, 1024 * MIB);
    const pages = (magic: string, count: number) =>
      Buffer.concat(
        Array.from({ length: count }, (_, page) => [
          plainSlot(magic, REPLICA, page, 0, 1, EMPTY),
          plainSlot(magic, REPLICA, page, 1, 2, EMPTY),
        ]).flat(),
      );
    expect(file(disk, 'intents').equals(pages('HFin', 1))).to.equal(true);
    expect(file(disk, 'stamps').equals(pages('HFst', 3))).to.equal(true);
    expect(disk.openFile(`${DIRECTORY}/data`).sizeBytes()).to.equal(1024 * MIB);
    const json = `{"format":1,"volume":"${VOLUME}","volumeName":"pgdata","replica":"${REPLICA}","sizeBytes":${1024 * MIB},"promisedEpoch":0,"promisedInstance":null,"openBootId":null,"suspect":false,"failed":null,"longestLeaseMs":0,"resync":null,"config":null}`;
    expect(file(disk, 'meta').toString()).to.equal(plainRecord(json).toString());
    expect(disk.list(DIRECTORY)).to.deep.equal(['data', 'intents', 'meta', 'meta.next', 'stamps']);
  });

  it('intents are bits, least significant first; the next write of a page takes the other slot', () => {
    const { disk, store } = made(100 * MIB);
    intend(disk, store, 0, 9, 99);
    const body = new Uint8Array(13);
    body[0] = 0b0000_0001;
    body[1] = 0b0000_0010;
    body[12] = 0b0000_1000;
    const expected = Buffer.concat([plainSlot('HFin', REPLICA, 0, 0, 3, body), plainSlot('HFin', REPLICA, 0, 1, 2, EMPTY)]);
    expect(file(disk, 'intents').equals(expected)).to.equal(true);
  });

  it('a stamp is six bytes of version and a flag, 60 of them in a sector', () => {
    const { disk, store } = made(600 * MIB);
    intend(disk, store, 0, 61, 481);
    store.setStamp(0, 7);
    store.setStamp(61, 2 ** 47 + 3);
    store.write(481 * MIB, [Buffer.alloc(512, 1)], 512);
    finish(disk, (done) => store.clean([0], () => true, done));
    const first = new Uint8Array(3840);
    first[0] = 7;
    first.set([3, 0, 0, 0, 0, 0x80], 61 * 8);
    const second = new Uint8Array(3840);
    second[8 + 6] = 1;
    const expected = [
      plainSlot('HFst', REPLICA, 0, 0, 3, first),
      plainSlot('HFst', REPLICA, 0, 1, 2, EMPTY),
      plainSlot('HFst', REPLICA, 1, 0, 3, second),
      plainSlot('HFst', REPLICA, 1, 1, 2, EMPTY),
    ];
    expect(file(disk, 'stamps').equals(Buffer.concat(expected))).to.equal(true);
  });

  it('reads files that the builder made', () => {
    const disk = new SimulatedDisk();
    create(disk, 3 * MIB);
    const stamps = new Uint8Array(24);
    stamps.set([0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 1, 0], 16);
    disk.tamper(
      `${DIRECTORY}/intents`,
      Buffer.concat([plainSlot('HFin', REPLICA, 0, 0, 41, Uint8Array.of(0b010)), plainSlot('HFin', REPLICA, 0, 1, 40, EMPTY)]),
    );
    disk.tamper(
      `${DIRECTORY}/stamps`,
      Buffer.concat([plainSlot('HFst', REPLICA, 0, 0, 8, EMPTY), plainSlot('HFst', REPLICA, 0, 1, 9, stamps)]),
    );
    const json = `{"format":1,"volume":"${VOLUME}","volumeName":"größe","replica":"${REPLICA}","sizeBytes":${3 * MIB},"promisedEpoch":5,"promisedInstance":"0123456789abcdef","openBootId":null,"suspect":true,"failed":null,"longestLeaseMs":2000,"resync":{"since":4,"version":6,"below":2},"config":null}`;
    disk.tamper(`${DIRECTORY}/meta`, plainRecord(json));
    const store = open(disk);
    expect([...store.intents]).to.deep.equal([1]);
    expect([0, 1, 2].map((extent) => store.stamp(extent))).to.deep.equal([0, 0, 0x08090a0b0c0d]);
    expect(
      [0, 1, 2].map((extent) => store.mayHaveData(extent)),
      'in the log counts as data',
    ).to.deep.equal([false, true, true]);
    expect(store.meta).to.deep.include({ volumeName: 'größe', promisedEpoch: 5, suspect: true, openBootId: 'boot-1' });
  });

  it('a record is read back as it was written, and nothing else is a record', () => {
    const bytes = encodeRecord({ text: 'ß\n"', list: [1, null] });
    expect(decodeRecord(bytes)).to.deep.equal({ value: { text: 'ß\n"', list: [1, null] }, problem: null });
    for (let cut = 0; cut < bytes.length; cut++) expect(decodeRecord(bytes.subarray(0, cut)).problem, `cut at ${cut}`).to.be.a('string');
    for (let index = 0; index < bytes.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(bytes);
        flipped[index] = (flipped[index] ?? 0) ^ (1 << bit);
        expect(decodeRecord(flipped).problem, `byte ${index}, bit ${bit}`).to.be.a('string');
      }
    }
    expect(decodeRecord(Buffer.concat([bytes, Buffer.from('\n')])).problem).to.be.a('string');
    expect(decodeRecord(plainRecord('{"no json"')).problem).to.match(/^it is not JSON/);
  });

  it('the config that was seen last survives', () => {
    const { disk, store } = made();
    const config = {
      uid: VOLUME,
      name: 'pgdata',
      sizeBytes: 8 * MIB,
      minInSync: 1,
      epoch: 3,
      version: 17,
      primary: null,
      shards: [{ members: [], inSync: [REPLICA] }],
    };
    finish(disk, (done) => store.saveMeta(metaWith(store, { config }), done));
    finish(disk, (done) => store.close(done));
    expect(open(disk).meta.config).to.deep.equal(config);
  });
});
