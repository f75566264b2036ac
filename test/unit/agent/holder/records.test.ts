/** Records as files: whole, cut short, or written by somebody else. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { FileRecords, isName } from '../../../../agent/holder/edge/records.ts';
import type { Attached } from '../../../../agent/holder/ports.ts';
import { silentLog } from '../../../../core/log.ts';

const ATTACHED: Attached = {
  name: 'pgdata',
  uid: 'uid-1',
  socket: '/run/pgdata.sock',
  sizeBytes: 4096,
  readonly: false,
  way: 'fuse',
  device: '/dev/loop7',
  failed: false,
  pids: [10, 11],
};

describe('agent/holder: records', () => {
  let root: string;
  let records: FileRecords;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'hf-records-'));
    records = new FileRecords(root, silentLog);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const write = (name: string, text: string): void => {
    mkdirSync(path.join(root, name));
    writeFileSync(path.join(root, name, 'device.json'), text);
  };

  it('are found by the next holder, and gone when they were removed', () => {
    mkdirSync(records.directory('pgdata'));
    records.save(ATTACHED);
    records.save({ ...ATTACHED, sizeBytes: 8192 });
    expect(new FileRecords(root, silentLog).load()).to.deep.equal([{ ...ATTACHED, sizeBytes: 8192 }]);
    records.remove('pgdata');
    records.remove('pgdata');
    expect(records.load()).to.deep.equal([]);
  });

  const whole = JSON.stringify(ATTACHED);
  const damaged = [
    '',
    '{',
    whole.slice(0, -1),
    'null',
    '5',
    '[]',
    '{}',
    '"text"',
    JSON.stringify({ ...ATTACHED, pids: 7 }),
    JSON.stringify({ ...ATTACHED, pids: ['x'] }),
  ];
  for (const text of damaged)
    it(`of ${JSON.stringify(text.slice(0, 12))}… (${text.length} bytes) are of a device that nothing carries, so that it is cleared`, () => {
      write('pgdata', text);
      const [found] = records.load();
      expect(found).to.include({ name: 'pgdata', device: '' });
      expect(found?.pids, 'no process has this id').to.deep.equal([0]);
    });

  it('of a directory without a record are such, too', () => {
    mkdirSync(records.directory('pgdata'));
    expect(records.load()).to.have.length(1);
  });

  it('go by the name of their directory, whatever stands in them', () => {
    write('pgdata', JSON.stringify({ ...ATTACHED, name: '../../etc' }));
    expect(records.load()[0]?.name).to.equal('pgdata');
  });

  it('leave alone what is no name', () => {
    write('.hidden', whole);
    write('Upper', whole);
    expect(records.load()).to.deep.equal([]);
    expect(existsSync(path.join(root, '.hidden'))).to.equal(true);
  });

  for (const name of ['', '.', '..', '../x', 'a/b', '-a', 'a-', 'a\n', 'a\0', 'A', 'a b', 'x'.repeat(64)])
    it(`take ${JSON.stringify(name.slice(0, 8))} for no name`, () => expect(isName(name)).to.equal(false));
  for (const name of ['a', 'a.b', 'pvc-1', 'x'.repeat(63)])
    it(`take ${JSON.stringify(name.slice(0, 8))} for a name`, () => expect(isName(name)).to.equal(true));
});
