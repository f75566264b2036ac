/** The judge of histories can tell good ones from bad ones: made by hand, each with the one thing in it that is right or wrong. Needs Go, or the cache. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { findHistoryChecker } from '../../../tools/local/programs.ts';

type Operation = { client: number; kind: 'read' | 'write'; block: string; value: string; callNs: number; returnNs: number | null };

const operation =
  (kind: 'read' | 'write') =>
  (value: string, callNs: number, returnNs: number | null, others: Partial<Operation> = {}): Operation => ({
    ...{ client: 0, kind, block: 'v/1', value, callNs, returnNs },
    ...others,
  });
const write = operation('write');
const read = operation('read');

const BUILD_BOUND_MS = 5 * 60_000;

describe('the checker of histories', function () {
  this.timeout(20_000);
  let program: string;
  let directory: string;

  before(async function () {
    this.timeout(BUILD_BOUND_MS);
    program = await findHistoryChecker(() => undefined);
    directory = mkdtempSync(path.join(tmpdir(), 'hf-checker-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const picture = () => path.join(directory, 'violation.html');

  function judge(lines: readonly unknown[], ...words: string[]) {
    const file = path.join(directory, 'history.jsonl');
    writeFileSync(file, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
    const { status, stdout, stderr } = spawnSync(program, ['-picture', picture(), ...words, file], { encoding: 'utf8' });
    return { status, stdout, stderr };
  }

  const good: Record<string, Operation[]> = {
    'a block that nobody has written holds nothing': [read('0', 1, 2)],
    'a read gives what was written before it': [write('1.1', 1, 2), read('1.1', 3, 4)],
    'a read beside a write gives either value': [write('1.1', 1, 2), write('1.2', 3, 9), read('1.1', 4, 5), read('1.2', 6, 7)],
    'writes beside each other may take effect in any order': [write('1.1', 1, 9), write('2.1', 2, 8), read('2.1', 10, 11)],
    'a write of unknown outcome never happened': [write('1.1', 1, 2), write('1.2', 3, null), read('1.1', 4, 5), read('1.1', 90, 91)],
    'a write of unknown outcome happens long after': [write('1.1', 1, 2), write('1.2', 3, null), read('1.1', 4, 5), read('1.2', 90, 91)],
    'a write of unknown outcome happens and is written over': [
      write('1.1', 1, null),
      read('1.1', 4, 5),
      write('2.1', 6, 7),
      read('2.1', 8, 9),
    ],
    'blocks have nothing to do with each other': [write('1.1', 1, 2), read('0', 3, 4, { block: 'v/2' })],
    'what touches at one moment is beside each other': [write('1.1', 1, 5), read('0', 5, 6)],
  };

  for (const [what, history] of Object.entries(good)) {
    it(`takes it: ${what}`, () => {
      expect(judge(history)).to.include({ status: 0, stderr: '' });
    });
  }

  const bad: Record<string, Operation[]> = {
    'a stale read': [write('1.1', 1, 2), write('1.2', 3, 4), read('1.1', 5, 6)],
    'a lost write': [write('1.1', 1, 2), read('0', 3, 4)],
    'new and then old, beside a write': [write('1.1', 1, 2), write('1.2', 3, 99), read('1.2', 4, 5), read('1.1', 6, 7)],
    'new and then old, of a write of unknown outcome': [
      write('1.1', 1, 2),
      write('1.2', 3, null),
      read('1.2', 4, 5),
      read('1.1', 6, 7, { client: 1 }),
    ],
    'a write of unknown outcome that comes back over a later one': [
      write('1.1', 1, null),
      read('1.1', 2, 3),
      write('2.1', 4, 5),
      read('1.1', 6, 7),
    ],
    'a value that nobody wrote': [write('1.1', 1, 2), read('torn at 512: 00', 3, 4)],
    'a value before it was written': [read('1.1', 1, 2), write('1.1', 3, 4)],
    'a value of unknown outcome before it was written': [read('1.1', 1, 2), write('1.1', 3, null)],
    'two readers that see two writes in different order': [
      write('1.1', 1, 99),
      write('2.1', 1, 99, { client: 1 }),
      read('1.1', 10, 11, { client: 2 }),
      read('2.1', 12, 13, { client: 2 }),
      read('2.1', 10, 11, { client: 3 }),
      read('1.1', 14, 15, { client: 3 }),
    ],
    'one bad block among good ones': [
      write('1.1', 1, 2),
      read('1.1', 3, 4),
      write('2.1', 1, 2, { block: 'v/2' }),
      read('0', 3, 4, { block: 'v/2' }),
    ],
  };

  for (const [what, history] of Object.entries(bad)) {
    it(`finds it: ${what}`, () => {
      const { status, stdout } = judge(history);
      expect(status, stdout).to.equal(1);
      expect(stdout).to.include('NOT LINEARIZABLE');
    });
  }

  it('draws what is wrong, with the faults of that time, and nothing where nothing is', () => {
    rmSync(picture(), { force: true });
    judge([write('1.1', 1, 2), read('1.1', 3, 4)]);
    expect(existsSync(picture())).to.equal(false);
    judge([write('1.1', 1, 2), read('0', 3, 4), { fault: 'kill of node-b', callNs: 1, returnNs: null }]);
    expect(readFileSync(picture(), 'utf8')).to.include('kill of node-b').and.to.include('write 1.1');
  });

  it('says when it came to no end: that is no proof', () => {
    const { status, stdout } = judge([write('1.1', 1, 2)], '-timeout', '0s');
    expect(status).to.equal(3);
    expect(stdout).to.match(/UNKNOWN.*no proof/);
  });

  const unusable: Record<string, unknown[]> = {
    'no operations': [{ fault: 'kill', callNs: 1, returnNs: 2 }],
    'a line that is no JSON': ['{"client":'],
    'a read that nobody answered': [read('0', 1, null)],
    'a value that was written twice': [write('1.1', 1, 2), write('1.1', 3, 4)],
    'a return before its call': [write('1.1', 3, 2)],
    'a kind that there is not': [{ ...write('1.1', 1, 2), kind: 'trim' }],
  };

  for (const [what, lines] of Object.entries(unusable)) {
    it(`refuses it: ${what}`, () => {
      const { status, stderr } = judge(lines);
      expect(status).to.equal(2);
      expect(stderr).to.not.equal('');
    });
  }
});
