/** The frame of a program, seen from outside: its exit codes, what it prints, how it stops. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';
import { until } from '../../support/until.ts';

const EXAMPLE = path.join(import.meta.dirname, 'programs', 'example.ts');

type Line = {
  level: string;
  message: string;
  program: string;
  name: string;
  error?: { message: string; stack: string; cause?: { code: string } };
};

describe('a program', function () {
  this.timeout(20_000);
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });
  const start = (behaviour: string) => {
    const child = spawn(process.execPath, [EXAMPLE, behaviour], {
      env: { PATH: process.env.PATH, INSTANCE: 'one' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    const seen = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      seen.out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      seen.err += text;
    });
    const lines = () =>
      seen.out
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Line);
    const ended = once(child, 'close').then(([code]) => code as number);
    const isUp = () => until('it is up', () => lines().some(({ message }) => message === 'program started'));
    return { child, seen, lines, ended, isUp };
  };

  it('with a bad configuration says all that is wrong with it, and exits with 2', async () => {
    const { ended, seen } = start('badConfiguration');
    expect(await ended).to.equal(2);
    expect(seen.out).to.equal('');
    expect(seen.err).to.equal(
      [
        'holdfast-example: 2 problems in the configuration, nothing started:',
        '  REPLICA_TIMEOUT_MS=50   must be at least 4 x HEARTBEAT_MS (200)',
        '  POOLS                   /var/lib/holdfast/fast does not exist',
        '',
      ].join('\n'),
    );
  });

  for (const [behaviour, message] of [
    ['failsToStart', 'no disk'],
    ['throwsLater', 'an assertion'],
    ['rejectsLater', 'a promise'],
    ['fails', 'displaced'],
  ] as const) {
    it(`that ${behaviour} writes why as its last line, and exits with 1`, async () => {
      const { ended, lines } = start(behaviour);
      expect(await ended).to.equal(1);
      const last = lines().at(-1);
      expect(last).to.include({ level: 'error', message: 'program failed', program: 'holdfast-example', name: 'one' });
      expect(last?.error?.message).to.equal(message);
      expect(last?.error?.stack).to.contain('example.ts');
      if (behaviour === 'failsToStart') expect(last?.error?.cause?.code).to.equal('ENODEV');
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`stops at ${signal} and exits with 0`, async () => {
      const { child, ended, lines, isUp } = start('serves');
      await isUp();
      child.kill(signal);
      expect(await ended).to.equal(0);
      expect(lines().map(({ message }) => message)).to.deep.equal(['program started', 'program stops', 'closed', 'program stopped']);
    });
  }

  it('that cannot stop exits with 1', async () => {
    const { child, ended, lines, isUp } = start('failsToStop');
    await isUp();
    child.kill('SIGTERM');
    expect(await ended).to.equal(1);
    expect(lines().at(-1)?.message).to.equal('program failed to stop');
  });

  it('asked a second time stops at once', async () => {
    const { child, ended, lines, isUp } = start('neverStops');
    await isUp();
    child.kill('SIGTERM');
    await until('it stops', () => lines().some(({ message }) => message === 'program stops'));
    child.kill('SIGTERM');
    expect(await ended).to.equal(1);
    expect(lines().at(-1)?.message).to.equal('program stopped at once: asked a second time');
  });

  it('goes on when nobody reads its log any more', async () => {
    const { child, ended, isUp } = start('serves');
    await isUp();
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.kill('SIGTERM');
    const [code] = child.exitCode === null ? ((await once(child, 'exit')) as [number]) : [child.exitCode];
    expect(code).to.equal(0);
    await ended;
  });
});
