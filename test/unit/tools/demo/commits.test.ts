/** The demo's writer of commits: what it says is there, and a number that was committed without anybody being told is no obstacle. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { readLedger } from '../../../../tools/demo/commits.ts';
import { onLines, troubleOf } from '../../../../tools/demo/work.ts';

const COMMITS = path.resolve(import.meta.dirname, '../../../../tools/demo/commits.ts');

describe('the commits of the demo', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-commits-'));
  const database = path.join(directory, 'ledger.db');
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Kills it after so many lines; the digests that it told. */
  const commits = (first: number, lines: number): Promise<Map<number, string>> =>
    new Promise((resolve, reject) => {
      const told = new Map<number, string>();
      const writer = spawn(process.execPath, ['--no-warnings', COMMITS, database, String(first)], { stdio: ['ignore', 'pipe', 'pipe'] });
      const trouble = troubleOf(writer);
      onLines(writer.stdout, (line) => {
        const [number, digest = ''] = line.split(' ');
        told.set(Number(number), digest);
        if (told.size === lines) writer.kill('SIGKILL');
      });
      writer.once('close', () => (told.size >= lines ? resolve(told) : reject(new Error(trouble() ?? 'it still runs'))));
    });

  it('are all there after a kill, and begin again at a number that is there already', async () => {
    const before = await commits(1, 20);
    // As after a failover: the last ones were committed, and the kill came before they were told.
    const again = await commits(11, 20);
    const kept = [...before].filter(([number]) => number < 11);
    const { verdict, digests } = readLedger(database);
    expect(verdict).to.equal('ok');
    for (const [number, digest] of [...kept, ...again]) expect(digests.get(number), `commit ${number}`).to.equal(digest);
  });
});
