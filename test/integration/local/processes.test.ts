/** Processes of a local cluster: known again, ended, and never taken for others. Tried with programs that every system has. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { LocalClusterError } from '../../../tools/local/errors.ts';
import { ADDRESS, findFreePort } from '../../../tools/local/ports.ts';
import { findProcesses, type Launch, LocalProcess } from '../../../tools/local/processes.ts';
import { stopCluster } from '../../../tools/local/stop.ts';
import { waitFor } from '../../../tools/local/wait.ts';

const SLEEP: Launch = { file: 'sleep', arguments: ['600'], environment: {} };
/** Ignores SIGTERM, and has a child of its own. */
const STUBBORN: Launch = {
  file: 'sh',
  arguments: ['-c', 'trap "" TERM; echo ready; sleep 600 & while true; do wait; done'],
  environment: {},
};

describe('local cluster: processes', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'hf-'));
  });

  afterEach(async () => {
    await stopCluster(directory);
    await rm(directory, { recursive: true, force: true });
  });

  const process = (launch: Launch): LocalProcess => new LocalProcess(directory, 'agent/node-a', launch);

  it('is started once, and found again by whoever knows its directory', () => {
    const first = process(SLEEP);
    expect(first.start()).to.equal(true);
    const again = process(SLEEP);
    expect(again.start()).to.equal(false);
    expect(again.pid).to.equal(first.pid);
    expect(readFileSync(path.join(directory, 'agent/node-a/pid'), 'utf8')).to.equal(`${first.pid}\n`);
    expect(findProcesses(directory)).to.deep.equal([first.pid]);
  });

  it('is gone after SIGKILL, and can be started again', async () => {
    const one = process(SLEEP);
    one.start();
    const pid = one.pid;
    await one.kill();
    expect(one.pid).to.equal(undefined);
    expect(one.start()).to.equal(true);
    expect(one.pid).not.to.equal(pid);
  });

  it('has let go of its port after SIGKILL, however long its memory takes', async () => {
    const port = await findFreePort(new Set());
    const words = `globalThis.kept = Array.from({ length: 16 }, () => Buffer.alloc(${16 * 1024 ** 2}, 1)); require('net').createServer().listen(${port}, '${ADDRESS}', () => console.log('ready'))`;
    const one = process({ file: globalThis.process.execPath, arguments: ['-e', words], environment: {} });
    one.start();
    await waitFor('it to listen', 8_000, () =>
      Promise.resolve(one.logTail().includes('ready') ? { value: true } : { reason: one.logTail() }),
    );
    await one.kill();
    const next = createServer().listen(port, ADDRESS);
    await once(next, 'listening');
    next.close();
  });

  it('is ended although it is suspended', async () => {
    const one = process(SLEEP);
    one.start();
    await one.kill('SIGSTOP');
    await one.stop();
    expect(findProcesses(directory)).to.deep.equal([]);
  });

  it('is ended with what it started, although it ignores SIGTERM', async function () {
    this.timeout(30_000);
    const one = process(STUBBORN);
    one.start();
    await waitFor('its child', 5_000, () => {
      const found = findProcesses(directory);
      return Promise.resolve(
        found.length === 2 && one.logTail().includes('ready') ? { value: true } : { reason: `${found.length} processes` },
      );
    });
    expect((await stopCluster(directory)).processes).to.equal(2);
    expect(findProcesses(directory)).to.deep.equal([]);
  });

  it('never touches a stranger that has its number', async () => {
    const stranger = spawn('sleep', ['600']);
    try {
      mkdirSync(path.join(directory, 'agent/node-a'), { recursive: true });
      writeFileSync(path.join(directory, 'agent/node-a/pid'), `${stranger.pid}\n`);
      const one = process(SLEEP);
      expect(one.pid).to.equal(undefined);
      await one.kill();
      await stopCluster(directory);
      expect(stranger.exitCode).to.equal(null);
      expect(stranger.signalCode).to.equal(null);
      expect(() => globalThis.process.kill(stranger.pid ?? 0, 0)).not.to.throw();
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('says what is wrong when its program is missing', () => {
    const missing = process({ ...SLEEP, file: path.join(directory, 'nothing') });
    expect(() => missing.start()).to.throw(LocalClusterError, /^agent\/node-a could not be started: .*nothing is missing/);
  });
});
