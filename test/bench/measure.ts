/** The interleaved run: repetition by repetition, system by system in rotating order, work by work. Must never let two systems run at once. */
import { execFileSync } from 'node:child_process';
import { cpuMicroseconds } from './cpu.ts';
import { runFio, timed } from './fio.ts';
import type { SystemName } from './goals.ts';
import type { Options } from './options.ts';
import type { Sample, Samples } from './report.ts';
import { rotated } from './statistics.ts';
import type { Running, System } from './systems/system.ts';
import type { Work } from './works.ts';

type Say = (line: string) => void;

export async function measure(systems: readonly System[], options: Options, say: Say): Promise<Samples> {
  const found = new Map<string, Sample[]>();
  const key = (work: string, system: SystemName) => `${work} ${system}`;
  for (const system of systems) await turn(system, (running) => fill(running, options.sizeBytes));
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const system of rotated(systems, repetition)) {
      await turn(system, async (running) => {
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
    await act(running);
  } finally {
    await system.stop();
  }
}

/** Every block has been written before anything is measured: nobody allocates then, and nobody reads holes. */
async function fill({ target }: Running, sizeBytes: number): Promise<void> {
  await runFio(target, ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${sizeBytes}`, '--end_fsync=1'], 'write');
}

async function once({ target, pids, countsClient }: Running, work: Work, options: Options): Promise<Sample> {
  // What the one before has left in the page cache is not this one's to write out.
  execFileSync('sync');
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
