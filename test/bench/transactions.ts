/** What pgbench says of a run, and the tables and the judgement of `make bench-pgbench`. Pure. */
import type { SystemName } from './goals.ts';
import { type Line, lineTable, TITLES, table } from './report.ts';
import { spreadOf } from './statistics.ts';

export type Transactions = {
  readonly count: number;
  readonly perSecond: number;
  readonly latencyMs: number;
};
export type TransactionSample = Transactions & {
  /** Of the system's own processes. */
  readonly systemCpuMicroseconds: number;
  /** Of those that carry the device, which are alike for all. */
  readonly deviceCpuMicroseconds: number;
};
export type TransactionSamples = ReadonlyMap<SystemName, readonly TransactionSample[]>;

/** Of qemu's quorum. */
const GOAL = 1;

export function parseTransactions(output: string): Transactions {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(output)?.[1];
    if (found === undefined) throw new Error(`pgbench did not say ${pattern.source}: ${output.slice(0, 1_000)}`);
    return Number(found);
  };
  if (number(/^number of failed transactions: (\d+)/m) !== 0) throw new Error(`transactions failed: ${output.slice(0, 1_000)}`);
  return {
    count: number(/^number of transactions actually processed: (\d+)/m),
    perSecond: number(/^tps = ([\d.]+)/m),
    latencyMs: number(/^latency average = ([\d.]+) ms/m),
  };
}

const ROWS: readonly { title: string; digits: number; of(sample: TransactionSample): number }[] = [
  { title: 'transactions a second', digits: 0, of: ({ perSecond }) => perSecond },
  { title: 'average latency, ms', digits: 2, of: ({ latencyMs }) => latencyMs },
  { title: 'CPU of the system, µs a transaction', digits: 0, of: ({ systemCpuMicroseconds, count }) => systemCpuMicroseconds / count },
  {
    title: 'CPU of nbdkit and nbdfuse, µs a transaction',
    digits: 0,
    of: ({ deviceCpuMicroseconds, count }) => deviceCpuMicroseconds / count,
  },
];

export function transactionTable(samples: TransactionSamples): string {
  const systems = [...samples.keys()];
  const rows = ROWS.map(({ title, digits, of }) => [
    title,
    ...systems.map((system) => {
      const { median, least, most } = spreadOf((samples.get(system) ?? []).map(of));
      const [middle, low, high] = [median, least, most].map((value) =>
        value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }),
      );
      return `${middle} (${low}..${high})`;
    }),
  ]);
  return table(['', ...systems.map((system) => TITLES[system])], rows);
}

/** By the medians. */
export function transactionGoal(samples: TransactionSamples): string {
  const medianOf = (system: SystemName): number | null => {
    const rates = samples.get(system)?.map(({ perSecond }) => perSecond) ?? [];
    return rates.length === 0 ? null : spreadOf(rates).median;
  };
  const quorum = medianOf('quorum');
  const lines = (['holdfast', 'holdfast-tls'] as const).flatMap((system): Line[] => {
    const mine = medianOf(system);
    if (mine === null || quorum === null) return [];
    const ratio = mine / quorum;
    return [
      {
        what: `pgbench: ${TITLES[system]} to ${TITLES.quorum}`,
        measured: `${ratio.toFixed(2)} x`,
        wanted: `>= ${GOAL} x`,
        isMet: ratio >= GOAL,
      },
    ];
  });
  return lineTable(lines);
}
