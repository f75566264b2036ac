/**
 * What is to be known when something is not as it must be: who waits and where, what the kernel has in flight on which device, its last words. Must never wait itself for
 * what may hang: it reads the kernel's own files alone.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from './processes.ts';

const KERNEL_LINES = 300;
const FILE_LENGTH_MAX = 4_000;
const DEPTH_MAX = 2;
/** Of the devices in sysfs. */
const ATTRIBUTES = ['pid', 'backend', 'size', 'inflight', 'stat', 'queue/io_timeout', 'queue/scheduler'];
const WAITING = 'D';

export async function explain(): Promise<void> {
  for (const device of readdirSync('/sys/block').filter((name) => textOf(`/sys/block/${name}/pid`) !== '')) {
    for (const attribute of ATTRIBUTES) show(`/sys/block/${device}/${attribute}`);
    for (const directory of ['nbd', 'block']) showAll(`/sys/kernel/debug/${directory}/${device}`, DEPTH_MAX);
  }
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) showWaiting(`/proc/${pid}/task`);
  // Those that wait, and what the processor is at, into the kernel's log.
  for (const key of ['w', 'l']) writeFileSync('/proc/sysrq-trigger', key);
  const words = (await run('dmesg')).split('\n');
  console.log(words.slice(-KERNEL_LINES).join('\n'));
}

function showWaiting(tasks: string): void {
  for (const task of namesIn(tasks)) {
    const stat = textOf(path.join(tasks, task, 'stat'));
    if (stat.slice(stat.lastIndexOf(')') + 2).startsWith(WAITING))
      console.log(`waits: ${stat}\n${textOf(path.join(tasks, task, 'stack'))}`);
  }
}

function showAll(directory: string, depth: number): void {
  for (const name of namesIn(directory)) {
    const file = path.join(directory, name);
    if (namesIn(file).length === 0) show(file);
    else if (depth > 0) showAll(file, depth - 1);
  }
}

function show(file: string): void {
  const text = textOf(file);
  if (text !== '') console.log(`${file}: ${text.slice(0, FILE_LENGTH_MAX)}`);
}

/** None: it is no directory, or has gone. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** '': it cannot be read, or has gone. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
