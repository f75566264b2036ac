/** What every `Disk` does, the machine's and the simulated one: the store relies on these, and on nothing else. */
import { expect } from 'chai';
import { type Disk, type DiskDone, DiskError } from '../../agent/replica/store/disk.ts';

/** `directory` is there, empty and writable. */
export type DiskUnderTest = { disk: Disk; directory: string };

const ended = (act: (done: DiskDone) => void): Promise<void> =>
  new Promise((resolve, reject) => act((error) => (error ? reject(error) : resolve())));

const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    expect(error).to.be.instanceOf(DiskError);
    return (error as DiskError).code;
  }
  return 'no error';
};

export function itIsADisk(prepare: () => DiskUnderTest): void {
  const at = ({ directory }: DiskUnderTest, name: string) => `${directory}/${name}`;
  const contentOf = ({ disk, directory }: DiskUnderTest, name: string): string => {
    const file = disk.openFile(`${directory}/${name}`);
    const bytes = Buffer.alloc(file.sizeBytes());
    file.readAt(bytes, 0);
    file.close();
    return bytes.toString();
  };
  const make = ({ disk, directory }: DiskUnderTest, name: string, content = ''): void => {
    const file = disk.createFile(`${directory}/${name}`);
    if (content !== '') file.writeAt([Buffer.from(content)], 0);
    file.close();
  };

  it('writes and reads at offsets, one chunk or many; beyond the end there is nothing, in a gap there are zeroes', () => {
    const under = prepare();
    const file = under.disk.createFile(at(under, 'data'));
    expect(file.writeAt([Buffer.from('abc')], 10)).to.equal(3);
    expect(file.writeAt([Buffer.from('d'), Buffer.from('ef'), Buffer.alloc(0), Buffer.from('g')], 13)).to.equal(4);
    expect(file.sizeBytes()).to.equal(17);
    const bytes = Buffer.alloc(20, 1);
    expect(file.readAt(bytes, 8)).to.equal(9);
    expect(bytes.subarray(0, 9).toString()).to.equal('\0\0abcdefg');
    expect(file.readAt(bytes, 17)).to.equal(0);
    file.close();
  });

  it('takes more chunks at once than a system call does, as far as it says', () => {
    const under = prepare();
    const file = under.disk.createFile(at(under, 'data'));
    const chunks = Array.from({ length: 3000 }, (_, index) => Buffer.alloc(3, index));
    const written = file.writeAt(chunks, 5);
    expect(written).to.be.above(0);
    const bytes = Buffer.alloc(written);
    expect(file.readAt(bytes, 5)).to.equal(written);
    expect(bytes.equals(Buffer.concat(chunks).subarray(0, written))).to.equal(true);
    file.close();
  });

  it('truncates up and down, punches holes that read as zeroes and leave the size', () => {
    const under = prepare();
    const file = under.disk.createFile(at(under, 'data'));
    file.truncate(2 ** 41);
    file.writeAt([Buffer.alloc(16_384, 7)], 2 ** 40);
    expect(file.punchHole(2 ** 40 + 100, 9000)).to.equal(true);
    const bytes = Buffer.alloc(16_384);
    file.readAt(bytes, 2 ** 40);
    expect(bytes.equals(Buffer.alloc(16_384, 7).fill(0, 100, 9100))).to.equal(true);
    expect(file.sizeBytes()).to.equal(2 ** 41);
    file.truncate(3);
    expect(file.sizeBytes()).to.equal(3);
    file.close();
  });

  it('a new file takes the place of what was there; one that is opened keeps it', () => {
    const under = prepare();
    make(under, 'one', 'old');
    expect(contentOf(under, 'one')).to.equal('old');
    make(under, 'one');
    expect(contentOf(under, 'one')).to.equal('');
  });

  it('renames over what is there, exchanges, lists in order, and removes', async () => {
    const under = prepare();
    const { disk, directory } = under;
    make(under, 'b', 'B');
    make(under, 'a', 'A');
    disk.makeDirectory(at(under, 'c'));
    disk.makeDirectory(at(under, 'c'));
    expect(disk.list(directory)).to.deep.equal(['a', 'b', 'c']);
    expect(disk.exchange(at(under, 'a'), at(under, 'b'))).to.equal(true);
    expect([contentOf(under, 'a'), contentOf(under, 'b')]).to.deep.equal(['B', 'A']);
    disk.rename(at(under, 'a'), at(under, 'b'));
    disk.rename(at(under, 'c'), at(under, 'd'));
    expect(disk.list(directory)).to.deep.equal(['b', 'd']);
    expect([disk.exists(at(under, 'b')), disk.exists(at(under, 'd')), disk.exists(at(under, 'a'))]).to.deep.equal([true, true, false]);
    expect(contentOf(under, 'b')).to.equal('B');
    await ended((done) => disk.removeFile(at(under, 'b'), done));
    await ended((done) => disk.removeFile(at(under, 'b'), done));
    disk.removeDirectory(at(under, 'd'));
    expect(disk.list(directory)).to.deep.equal([]);
  });

  it('an open file that is removed or replaced can still be used', async () => {
    const under = prepare();
    const file = under.disk.createFile(at(under, 'data'));
    await ended((done) => under.disk.removeFile(at(under, 'data'), done));
    file.writeAt([Buffer.from('x')], 0);
    await ended((done) => file.syncData(done));
    expect(file.sizeBytes()).to.equal(1);
    file.close();
  });

  it('syncs call back, and never from within the call', async () => {
    const under = prepare();
    const file = under.disk.createFile(at(under, 'data'));
    const calls: ((done: DiskDone) => void)[] = [
      (done) => file.syncData(done),
      (done) => file.syncAll(done),
      (done) => under.disk.syncDirectory(under.directory, done),
      (done) => under.disk.removeFile(at(under, 'data'), done),
    ];
    for (const call of calls) {
      let isWithin = true;
      const promise = ended((done) =>
        call((error) => {
          expect(isWithin).to.equal(false);
          done(error);
        }),
      );
      isWithin = false;
      await promise;
    }
    file.close();
  });

  it('many syncs at once all end', async () => {
    const under = prepare();
    const files = Array.from({ length: 40 }, (_, index) => under.disk.createFile(at(under, `file-${index}`)));
    await Promise.all(files.map((file) => ended((done) => file.syncData(done))));
    for (const file of files) file.close();
  });

  it('errors are named as the system names them', () => {
    const under = prepare();
    const { disk } = under;
    make(under, 'file');
    disk.makeDirectory(at(under, 'full'));
    disk.createFile(at(under, 'full/file')).close();
    expect(codeOf(() => disk.openFile(at(under, 'none')))).to.equal('ENOENT');
    expect(codeOf(() => disk.list(at(under, 'none')))).to.equal('ENOENT');
    expect(codeOf(() => disk.rename(at(under, 'none'), at(under, 'other')))).to.equal('ENOENT');
    expect(codeOf(() => disk.removeDirectory(at(under, 'full')))).to.equal('ENOTEMPTY');
    const file = disk.openFile(at(under, 'file'));
    file.close();
    expect(codeOf(() => file.sizeBytes())).to.equal('EBADF');
  });

  it('reflinks where it says that it can: a new file with the same content, of which neither sees what the other is given; else says so', async () => {
    const under = prepare();
    const { disk, directory } = under;
    make(under, 'one', 'content');
    const reflink = (to: string): Promise<string> =>
      new Promise((resolve) => disk.reflink(at(under, 'one'), at(under, to), (error) => resolve(error?.code ?? 'done')));
    if (!disk.canReflink(directory)) {
      expect(await reflink('two')).to.equal('EOPNOTSUPP');
      expect(disk.list(directory)).to.deep.equal(['one']);
      return;
    }
    expect(await reflink('two')).to.equal('done');
    expect(await reflink('two'), 'what is there is not replaced').to.equal('EEXIST');
    const [one, two] = [disk.openFile(at(under, 'one')), disk.openFile(at(under, 'two'))];
    one.writeAt([Buffer.from('C')], 0);
    two.writeAt([Buffer.from('T')], 6);
    for (const file of [one, two]) file.close();
    expect([contentOf(under, 'one'), contentOf(under, 'two')]).to.deep.equal(['Content', 'contenT']);
  });

  it('tells its space, and whether it reflinks, and leaves nothing of the probe', () => {
    const under = prepare();
    const { capacityBytes, usedBytes } = under.disk.space(under.directory);
    expect(capacityBytes).to.be.above(0);
    expect(usedBytes).to.be.within(0, capacityBytes);
    expect(under.disk.canReflink(under.directory)).to.be.a('boolean');
    expect(under.disk.list(under.directory)).to.deep.equal([]);
  });

  it('a lock is held once, also within a process, until it is released', () => {
    const under = prepare();
    const path = at(under, 'lock');
    const lock = under.disk.tryLock(path);
    if (!('release' in lock)) throw new Error(`held by ${lock.heldBy}`);
    for (let time = 0; time < 2; time++)
      expect(under.disk.tryLock(path))
        .to.have.property('heldBy')
        .that.matches(/^process \d+$/);
    lock.release();
    const again = under.disk.tryLock(path);
    expect(again).to.have.property('release');
    if ('release' in again) again.release();
  });
}
