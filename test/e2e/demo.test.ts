/** The demo that is killed in the middle: what it has mounted and started goes all the same. That it works is seen by running it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../tools/demo/run.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { findProcesses } from '../../tools/local/processes.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { START_BOUND_MS } from './world.ts';

const GONE_BOUND_MS = 120_000;

describe('end to end: the demo', function () {
  this.timeout(START_BOUND_MS + GONE_BOUND_MS);
  /** A short name: sockets lie deep below it. */
  const temporary = mkdtempSync(path.join(tmpdir(), 'hf-'));
  after(() => rmSync(temporary, { recursive: true, force: true }));

  it('killed while it works on the volume, it leaves no process, mount, loop device or file', async () => {
    const demo = spawn(process.execPath, ['tools/demo/demo.ts'], {
      cwd: CHECKOUT,
      detached: true,
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    demo.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const ended = once(demo, 'exit');
    await waitFor('the work on the volume', START_BOUND_MS, async () => {
      if (demo.exitCode !== null) throw new Error(`the demo ended by itself: ${output}`);
      return output.includes('\nAttached') ? { value: true } : { reason: `it says ${output}` };
    });
    process.kill(-(demo.pid ?? 0), 'SIGKILL'); // and whatever it runs in its own group, as an interrupted make test does
    await ended;
    await waitFor('nothing to be left', GONE_BOUND_MS, async () => {
      const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
      const loops = (await run('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE')).split('\n');
      const processes = findProcesses(temporary).map((pid) => `process ${pid}`);
      const left = [...[...mounts, ...loops].filter((line) => line.includes(temporary)), ...processes, ...readdirSync(temporary)];
      return left.length === 0 ? { value: true } : { reason: `there are still ${left.join('; ')}` };
    });
  });
});
