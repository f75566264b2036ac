/** The simulated disk is a disk like the machine's, and loses what it says that it loses. */
import { expect } from 'chai';
import type { DiskError, DiskFile } from '../../../agent/replica/store/disk.ts';
import { itIsADisk } from '../../support/diskContract.ts';
import { SeededRandom } from '../../support/seededRandom.ts';
import { PowerLoss, SimulatedDisk } from '../../support/simulatedDisk.ts';

const A = Buffer.alloc(512, 'a');
const B = Buffer.alloc(512, 'b');

function withFile(): { disk: SimulatedDisk; file: DiskFile } {
  const disk = new SimulatedDisk();
  const file = disk.createFile('/pool/file');
  file.writeAt([A, A, A], 0);
  file.syncAll(() => undefined);
  disk.syncDirectory('/pool', () => undefined);
  disk.drain();
  return { disk, file };
}

describe('the simulated disk', () => {
  itIsADisk(() => ({ disk: new SimulatedDisk({ completions: 'soon' }), directory: '/pool' }));
});

describe('the simulated disk that reflinks', () => {
  itIsADisk(() => ({ disk: new SimulatedDisk({ completions: 'soon', reflink: true }), directory: '/pool' }));
});

describe('the simulated disk: power loss', () => {
  it('takes all, nothing, or any subset of the sectors that were written since the last sync', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const { disk, file } = withFile();
      file.writeAt([B, B, B], 0);
      seen.add(
        [0, 512, 1024].map((at) => String.fromCharCode(disk.losePower(new SeededRandom(seed)).peek('/pool/file')?.[at] ?? 0)).join(''),
      );
    }
    expect([...seen].sort()).to.deep.equal(['aaa', 'aab', 'aba', 'abb', 'baa', 'bab', 'bba', 'bbb']);
    const { disk, file } = withFile();
    file.writeAt([B], 512);
    expect(
      disk
        .losePower('everything')
        .peek('/pool/file')
        ?.equals(Buffer.concat([A, A, A])),
    ).to.equal(true);
    expect(
      disk
        .losePower('nothing')
        .peek('/pool/file')
        ?.equals(Buffer.concat([A, B, A])),
    ).to.equal(true);
  });

  it('a sync covers what was written before it began, and only when it has ended', () => {
    const { disk, file } = withFile();
    file.writeAt([B], 0);
    file.syncData(() => undefined);
    file.writeAt([B], 512);
    expect(disk.losePower('everything').peek('/pool/file')?.toString('latin1', 0, 1)).to.equal('a');
    const other = withFile();
    other.file.writeAt([B], 0);
    other.file.syncData(() => undefined);
    other.file.writeAt([B], 512);
    other.disk.drain();
    expect(
      other.disk
        .losePower('everything')
        .peek('/pool/file')
        ?.equals(Buffer.concat([B, A, A])),
    ).to.equal(true);
  });

  it('a sync that failed covers nothing, nor does the one after it', () => {
    const { disk, file } = withFile();
    const errors: (DiskError | null)[] = [];
    disk.fail({ call: 'syncData', code: 'EIO', times: 1 });
    file.writeAt([B], 0);
    file.syncData((error) => errors.push(error));
    disk.drain();
    file.syncData((error) => errors.push(error));
    disk.drain();
    expect(errors.map((error) => error?.code)).to.deep.equal(['EIO', undefined]);
    expect(disk.peek('/pool/file')?.[0], 'in the cache').to.equal(B[0]);
    for (const loss of ['everything', 'nothing'] as const) expect(disk.losePower(loss).peek('/pool/file')?.[0], loss).to.equal(A[0]);
  });

  it('names come and go with their directory’s sync, in order', () => {
    const { disk } = withFile();
    disk.createFile('/pool/new').close();
    disk.rename('/pool/new', '/pool/newer');
    disk.rename('/pool/newer', '/pool/file');
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const found = disk.losePower(new SeededRandom(seed));
      seen.add(`${found.list('/pool').join(' ')} ${found.peek('/pool/file')?.length}`);
    }
    expect([...seen].sort()).to.deep.equal(['file 0', 'file 1536', 'file new 1536', 'file newer 1536']);
  });

  it('comes before the change that it was ordered for, and nothing works after', () => {
    const { disk, file } = withFile();
    disk.losePowerBefore(1);
    file.writeAt([B], 0);
    expect(() => file.writeAt([B], 512)).to.throw(PowerLoss);
    expect(() => file.readAt(Buffer.alloc(1), 0)).to.throw(PowerLoss);
    expect(() => disk.list('/pool')).to.throw(PowerLoss);
    expect(
      disk
        .losePower('nothing')
        .peek('/pool/file')
        ?.equals(Buffer.concat([B, A, A])),
    ).to.equal(true);
  });

  it('a killed process leaves the cache, of which nothing more is durable', () => {
    const { disk, file } = withFile();
    file.writeAt([B], 0);
    file.syncData(() => expect.fail('a dead process is not called back'));
    const next = disk.killProcess();
    disk.drain();
    expect(next.peek('/pool/file')?.[0]).to.equal(B[0]);
    expect(next.losePower('everything').peek('/pool/file')?.[0]).to.equal(A[0]);
  });

  it('faults hit the calls that they name, as often as they say', () => {
    const { disk, file } = withFile();
    disk.fail({ call: 'write', path: /file$/, code: 'ENOSPC', skip: 1, times: 2 });
    const results = Array.from({ length: 5 }, () => {
      try {
        return file.writeAt([B], 0);
      } catch (error) {
        return (error as DiskError).code;
      }
    });
    expect(results).to.deep.equal([512, 'ENOSPC', 'ENOSPC', 512, 512]);
  });
});
