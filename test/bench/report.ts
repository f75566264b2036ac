/** The results as a markdown page. Pure. */
import { GOALS, type Judged, judge, type SystemName } from './goals.ts';
import { spreadOf } from './statistics.ts';
import type { Work } from './works.ts';

export type Sample = {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly p99Microseconds: number;
  readonly cpuMicrosecondsPerOperation: number;
};
export type Samples = (work: string, system: SystemName) => readonly Sample[];
/** A line of the tables of the other works: `isMet` null where there is no goal. */
export type Line = { readonly what: string; readonly measured: string; readonly wanted: string; readonly isMet: boolean | null };

export const TITLES: Record<SystemName, string> = {
  single: 'one nbdkit copy',
  quorum: 'qemu quorum, 3 nbdkit',
  gluster: 'GlusterFS replica 3',
  holdfast: 'Holdfast, 3 replicas',
  'holdfast-tls': 'Holdfast, mutual TLS',
};

const MIB = 1024 * 1024;
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(row)].join('\n');

export const amountOf = (work: Work, sample: Sample): number => (work.unit === 'IOPS' ? sample.perSecond : sample.bytesPerSecond / MIB);
const whole = (value: number): string => Math.round(value).toLocaleString('en');
const yesOrNo = (isMet: boolean | null): string => (isMet === null ? 'not measured' : isMet ? 'met' : '**missed**');

function cell(work: Work, samples: readonly Sample[]): string {
  if (samples.length === 0) return '-';
  const { median, least, most } = spreadOf(samples.map((sample) => amountOf(work, sample)));
  return `${whole(median)} (${whole(least)}..${whole(most)})`;
}

function detail(samples: readonly Sample[]): string {
  if (samples.length === 0) return '-';
  const p99 = spreadOf(samples.map(({ p99Microseconds }) => p99Microseconds)).median;
  const cpu = spreadOf(samples.map(({ cpuMicrosecondsPerOperation }) => cpuMicrosecondsPerOperation)).median;
  return `${whole(p99)} / ${cpu < 100 ? cpu.toFixed(1) : whole(cpu)}`;
}

export function throughputTables(works: readonly Work[], systems: readonly SystemName[], samples: Samples): string {
  const head = ['', ...systems.map((system) => TITLES[system])];
  const rows = works.map((work) => [`${work.title}, ${work.unit}`, ...systems.map((system) => cell(work, samples(work.name, system)))]);
  const details = works.map((work) => [work.title, ...systems.map((system) => detail(samples(work.name, system)))]);
  return [
    'Median (least..most) of the repetitions:',
    table(head, rows),
    'p99 latency in µs / CPU in µs an I/O, of all of the system’s processes together:',
    table(head, details),
  ].join('\n\n');
}

function goalRow(works: readonly Work[], goal: Judged): string[] {
  const title = works.find(({ name }) => name === goal.work)?.title ?? goal.work;
  const ratio = goal.ratio === null ? '-' : `${goal.ratio.toFixed(2)} x`;
  return [`${title}: ${TITLES[goal.system]} to ${TITLES[goal.against]}`, ratio, `>= ${goal.factor} x`, yesOrNo(goal.isMet)];
}

export function goalTable(works: readonly Work[], samples: Samples): string {
  const medians = (name: string, system: SystemName): number | null => {
    const work = works.find((one) => one.name === name);
    const found = samples(name, system);
    return work === undefined || found.length === 0 ? null : spreadOf(found.map((sample) => amountOf(work, sample))).median;
  };
  const measured = GOALS.filter(({ work }) => works.some(({ name }) => name === work));
  return table(
    ['goal', 'measured', 'wanted', ''],
    judge(measured, medians).map((goal) => goalRow(works, goal)),
  );
}

export const lineTable = (lines: readonly Line[]): string =>
  table(
    ['', 'measured', 'wanted', ''],
    lines.map(({ what, measured, wanted, isMet }) => [what, measured, wanted, wanted === '' ? '' : yesOrNo(isMet)]),
  );
