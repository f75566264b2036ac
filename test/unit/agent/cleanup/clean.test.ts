/** What goes from a node with Holdfast, and what never does. Real files, in a directory of the test. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { cleanPool, removeOwn } from '../../../../agent/cleanup/clean.ts';

describe('cleaning a node', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'hf-clean-'));
    for (const name of ['replicas', 'snapshots']) mkdirSync(path.join(directory, name));
    for (const name of ['lock', 'pool.json', 'tombstones', 'snapshot-tombstones']) writeFileSync(path.join(directory, name), 'x');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('leaves nothing of a pool that holds nothing', () => {
    expect(cleanPool(directory)).to.deep.equal([]);
    expect(readdirSync(directory)).to.deep.equal([]);
    expect(cleanPool(directory)).to.deep.equal([]);
  });

  for (const name of ['replicas', 'snapshots'])
    it(`touches no file of a pool with something in ${name}`, () => {
      const before = readdirSync(directory).sort();
      mkdirSync(path.join(directory, name, '0123456789abcdef'));
      expect(cleanPool(directory)[0]).to.include(`still something in ${path.join(directory, name)}`);
      expect(readdirSync(directory).sort()).to.deep.equal(before);
    });

  it('leaves what others have put into a pool', () => {
    writeFileSync(path.join(directory, 'notes'), 'mine');
    cleanPool(directory);
    expect(readdirSync(directory)).to.deep.equal(['notes']);
  });

  it('is content with what is not there, and follows no link', () => {
    expect([...cleanPool(path.join(directory, 'none')), ...removeOwn(path.join(directory, 'none'))]).to.deep.equal([]);
    const own = path.join(directory, 'own');
    mkdirSync(own);
    symlinkSync(path.join(directory, 'replicas'), path.join(own, 'link'));
    writeFileSync(path.join(directory, 'replicas', 'kept'), '');
    expect(removeOwn(own)).to.deep.equal([]);
    expect([existsSync(own), existsSync(path.join(directory, 'replicas', 'kept'))]).to.deep.equal([false, true]);
  });
});
