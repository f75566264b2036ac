/** One run of fio: its command line, and what its report says. Must never count what came before the run, which is a run of its own. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Words before `fio` itself (a network namespace), and the engine with what it works on. */
export type Target = { readonly prefix: readonly string[]; readonly engine: readonly string[] };

export type FioResult = {
  readonly operations: number;
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly p99Microseconds: number;
  readonly longestMilliseconds: number;
  /** Of fio itself, its threads and what it loaded. */
  readonly clientCpuMicroseconds: number;
};

type Direction = {
  total_ios: number;
  iops: number;
  bw_bytes: number;
  clat_ns: { max: number; percentile?: Record<string, number> };
};
type Report = { jobs: { read: Direction; write: Direction; error: number }[] };

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
const NANOSECONDS_PER_MICROSECOND = 1_000;
const NANOSECONDS_PER_MILLISECOND = 1_000_000;

export const nbdTarget = (socketPath: string): Target => ({
  prefix: [],
  engine: ['--ioengine=nbd', `--uri=nbd+unix:///?socket=${socketPath}`],
});

export function parseReport(output: string, direction: 'read' | 'write'): Omit<FioResult, 'clientCpuMicroseconds'> {
  // Engines print warnings in front of it.
  const report = JSON.parse(output.slice(output.indexOf('{'))) as Report;
  const job = report.jobs[0];
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: ${output.slice(0, 1_000)}`);
  const { total_ios, iops, bw_bytes, clat_ns } = job[direction];
  return {
    operations: total_ios,
    perSecond: iops,
    bytesPerSecond: bw_bytes,
    p99Microseconds: (clat_ns.percentile?.['99.000000'] ?? 0) / NANOSECONDS_PER_MICROSECOND,
    longestMilliseconds: clat_ns.max / NANOSECONDS_PER_MILLISECOND,
  };
}

export async function runFio(target: Target, load: readonly string[], direction: 'read' | 'write'): Promise<FioResult> {
  const words = [...target.prefix, 'fio', '--name=bench', ...target.engine, ...load, '--output-format=json'];
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', '"$@" && times >&2', 'sh', ...words], { maxBuffer: OUTPUT_BYTES_MAX });
  return { ...parseReport(stdout, direction), clientCpuMicroseconds: parseTimes(stderr) };
}

/** The shell's `times`: its own, then its children's, user and system, as `0m1.23s 0m0.45s`. */
export function parseTimes(output: string): number {
  const last = output.trim().split('\n').at(-1) ?? '';
  let seconds = 0;
  for (const [, minutes, rest] of last.matchAll(/(\d+)m([\d.]+)s/g)) seconds += Number(minutes) * 60 + Number(rest);
  return seconds * 1_000_000;
}

/** For a time, over the first `bytes` of it, with random offsets that do not repeat from run to run. */
export const timed = (seconds: number, bytes: number): string[] => [
  '--time_based',
  `--runtime=${seconds}`,
  `--size=${bytes}`,
  '--norandommap',
  '--randrepeat=0',
];
