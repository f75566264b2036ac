/** The interleaved run: repetition by repetition, system by system in rotating order, work by work. Must never let two systems run at once. */
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMicroseconds } from './cpu.ts';
import { runFio, timed } from './fio.ts';
import type { SystemName } from './goals.ts';
import type { Options } from './options.ts';
import type { Sample, Samples } from './report.ts';
import { rotated } from './statistics.ts';
import type { Running, System } from './systems/system.ts';
import type { Work } from './works.ts';

const QUIET_LOOK_MS = 2_000;
const QUIET_LOOKS_MAX = 60;
/** Three agents on a loaded machine. */
const QUIET_CORES = 0.12;
/** Behind each start, of every system alike: what runs for months is not measured while it still compiles itself. */
const RUN_IN_SECONDS = 3;
const RUN_IN_LOAD = ['--rw=randwrite', '--bs=4k', '--iodepth=16'];

type Say = (line: string) => void;

export async function measure(systems: readonly System[], options: Options, say: Say): Promise<Samples> {
  const found = new Map<string, Sample[]>();
  const key = (work: string, system: SystemName) => `${work} ${system}`;
  for (const system of systems) await turn(system, (running) => fill(running, options.sizeBytes));
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const system of rotated(systems, repetition)) {
      await turn(system, async (running) => {
        await runFio(running.target, [...RUN_IN_LOAD, ...timed(RUN_IN_SECONDS, options.sizeBytes)], 'write');
        for (const work of options.works) {
          const sample = await once(running, work, options);
          const samples = found.get(key(work.name, system.name)) ?? [];
          found.set(key(work.name, system.name), [...samples, sample]);
          const cpu = `${sample.cpuMicrosecondsPerOperation.toFixed(1)} us CPU an I/O`;
          say(
            `${repetition + 1} ${system.name} ${work.name}: ${Math.round(sample.perSecond)} IOPS, p99 ${Math.round(sample.p99Microseconds)} us, ${cpu}`,
          );
        }
      });
    }
  }
  return (work, system) => found.get(key(work, system)) ?? [];
}

async function turn(system: System, act: (running: Running) => Promise<void>): Promise<void> {
  const running = await system.start();
  try {
    await untilQuiet(running);
    await act(running);
  } finally {
    await system.stop();
  }
}

/** All that systems write lies there. What is dirty elsewhere would be waited for as well by a `sync` of the whole machine, and for ever where a device of somebody else hangs. */
export const writeOut = (): void => void execFileSync('sync', ['--file-system', tmpdir()]);

/** What a system does after its start (comparing copies, a first scrub) is over: nobody is measured while it still works on something else. */
export async function untilQuiet({ pids }: Running): Promise<void> {
  let before = cpuMicroseconds(pids);
  for (let look = 0; look < QUIET_LOOKS_MAX; look++) {
    await sleep(QUIET_LOOK_MS);
    const now = cpuMicroseconds(pids);
    if ((now - before) / (QUIET_LOOK_MS * 1000) < QUIET_CORES) return;
    before = now;
  }
  throw new Error(`the system was not quiet within ${(QUIET_LOOKS_MAX * QUIET_LOOK_MS) / 1000} s`);
}

/** Every block has been written before anything is measured: nobody allocates then, and nobody reads holes. */
async function fill({ target }: Running, sizeBytes: number): Promise<void> {
  await runFio(target, ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${sizeBytes}`, '--end_fsync=1'], 'write');
}

async function once({ target, pids, countsClient }: Running, work: Work, options: Options): Promise<Sample> {
  // What the one before has left in the page cache is not this one's to write out.
  writeOut();
  const load = (seconds: number) => [...work.load, ...timed(seconds, options.sizeBytes)];
  await runFio(target, load(options.warmUpSeconds), work.direction);
  const before = cpuMicroseconds(pids);
  const result = await runFio(target, load(options.seconds), work.direction);
  const client = countsClient ? result.clientCpuMicroseconds : 0;
  return {
    perSecond: result.perSecond,
    bytesPerSecond: result.bytesPerSecond,
    p99Microseconds: result.p99Microseconds,
    cpuMicrosecondsPerOperation: (cpuMicroseconds(pids) - before + client) / result.operations,
  };
}
