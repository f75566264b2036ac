/**
 * How fast the NBD server is in front of a device that costs nothing: fio against a volume in memory, this process serving.
 * `node test/bench/nbd.ts [seconds]`; with `node --cpu-prof` it shows where the time goes. Prints numbers, judges nothing.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { NbdServer } from '../../agent/edge/nbdServer.ts';
import type { NbdEvents } from '../../agent/nbd/ports.ts';
import { MemoryDevice } from '../support/memoryDevice.ts';

const seconds = process.argv[2] ?? '5';
const SIZE = 512 * 1024 * 1024;
const CASES = [
  { rw: 'randread', bs: '4k', depth: 1 },
  { rw: 'randread', bs: '4k', depth: 16 },
  { rw: 'randwrite', bs: '4k', depth: 1 },
  { rw: 'randwrite', bs: '4k', depth: 16 },
  { rw: 'read', bs: '1m', depth: 4 },
  { rw: 'write', bs: '1m', depth: 4 },
];

type Direction = { iops: number; bw: number; clat_ns: { percentile?: Record<string, number> } };
type FioJob = { read: Direction; write: Direction };

let requests = 0;
const events: NbdEvents = {
  requestCompleted: () => {
    requests++;
  },
  requestRefused: fail,
  connectionRefused: fail,
  acceptFailed: fail,
  connectionOpened: () => undefined,
  connectionClosed: () => undefined,
};
function fail(reason: unknown): never {
  throw new Error(`the benchmark's client was refused: ${reason}`);
}

const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-bench-'));
const socketPath = path.join(directory, 'bench.sock');
const server = await NbdServer.listen({ device: new MemoryDevice('bench', SIZE), socketPath, events });
try {
  for (const { rw, bs, depth } of CASES) {
    const load = [`--rw=${rw}`, `--bs=${bs}`, `--iodepth=${depth}`, '--size=512m', '--time_based', `--runtime=${seconds}`];
    const requestsBefore = requests;
    const cpuBefore = process.cpuUsage();
    const fio = await promisify(execFile)('fio', [
      '--name=nbd',
      '--ioengine=nbd',
      `--uri=nbd+unix:///?socket=${socketPath}`,
      '--output-format=json',
      ...load,
    ]);
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuMicroseconds = (user + system) / (requests - requestsBefore);
    const job = JSON.parse(fio.stdout.slice(fio.stdout.indexOf('{'))).jobs[0] as FioJob;
    const side = rw.includes('read') ? job.read : job.write;
    const p99Microseconds = (side.clat_ns.percentile?.['99.000000'] ?? 0) / 1000;
    // Says more than IOPS where the machine is not ours alone.
    const cpu = `${cpuMicroseconds.toFixed(1)} us CPU`.padStart(14);
    const columns = [rw.padEnd(9), bs.padStart(2), `QD${depth}`.padStart(4), `${Math.round(side.iops)} IOPS`.padStart(12)];
    console.log(...columns, `${Math.round(side.bw / 1024)} MiB/s`.padStart(11), `p99 ${Math.round(p99Microseconds)} us`.padStart(13), cpu);
  }
} finally {
  await server.close();
  await rm(directory, { recursive: true });
}
