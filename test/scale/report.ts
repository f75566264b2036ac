/** The figures of a run as a table, beside what is wanted. Pure. */

export type Figures = Record<string, number>;
type Row = { what: string; unit: 'ms' | '%' | 'MiB' | '/s' | ''; figure: string; goal?: number };

const ROWS: readonly Row[] = [
  { what: 'all agents registered', unit: 'ms', figure: 'registeredMs' },
  { what: 'all StorageNodes Ready', unit: 'ms', figure: 'nodesReadyMs' },
  { what: 'volumes placed', unit: '', figure: 'volumes' },
  { what: 'all volumes asked for (created at the API server; at most 1,000 wait)', unit: 'ms', figure: 'createdMs' },
  { what: 'all placed (config, pointers, tasks in etcd), from the first request', unit: 'ms', figure: 'placedMs' },
  { what: 'all made, attached and in sync, from the first request', unit: 'ms', figure: 'healthyMs' },
  { what: 'and all shown so at the API server', unit: 'ms', figure: 'shownMs' },
  { what: 'of each volume till then: CPU of the leader', unit: 'ms', figure: 'leaderCpuMsPerVolume' },
  { what: 'of each volume till then: CPU of etcd', unit: 'ms', figure: 'etcdCpuMsPerVolume' },
  { what: 'of each volume till then: CPU of the API server', unit: 'ms', figure: 'apiServerCpuMsPerVolume' },
  { what: 'of each volume till then: CPU of the agents', unit: 'ms', figure: 'agentsCpuMsPerVolume' },
  { what: 'of each volume till then: transactions in etcd', unit: '', figure: 'etcdTransactionsPerVolume' },
  { what: 'of each volume till then: requests to the API server', unit: '', figure: 'apiRequestsPerVolume' },
  { what: 'leader, idle: CPU', unit: '%', figure: 'leaderCpuPercent', goal: 10 },
  { what: 'leader: memory, most', unit: 'MiB', figure: 'leaderMostBytes', goal: 1024 },
  { what: 'leader: memory, idle', unit: 'MiB', figure: 'leaderResidentBytes', goal: 1024 },
  { what: 'leader: heap in use, idle', unit: 'MiB', figure: 'leaderHeapBytes' },
  { what: 'follower, idle: CPU', unit: '%', figure: 'followerCpuPercent', goal: 10 },
  { what: 'follower: memory, most', unit: 'MiB', figure: 'followerMostBytes', goal: 1024 },
  { what: 'etcd, idle: CPU', unit: '%', figure: 'etcdCpuPercent' },
  { what: 'etcd: memory', unit: 'MiB', figure: 'etcdResidentBytes' },
  { what: 'etcd: database, the API server’s part with it', unit: 'MiB', figure: 'etcdDbBytes' },
  { what: 'etcd: in use of the database', unit: 'MiB', figure: 'etcdDbInUseBytes' },
  { what: 'etcd, idle: keep-alives of leases', unit: '/s', figure: 'etcdKeepAlivesPerSecond' },
  { what: 'etcd, idle: reads', unit: '/s', figure: 'etcdReadsPerSecond' },
  { what: 'etcd, idle: questions on watches', unit: '/s', figure: 'etcdWatchQuestionsPerSecond' },
  { what: 'etcd, idle: writes of keys (the API server’s among them)', unit: '/s', figure: 'etcdPutsPerSecond' },
  { what: 'etcd, idle: writes of Holdfast’s keys', unit: '/s', figure: 'etcdOursChangedPerSecond', goal: 0.001 },
  { what: 'API server, idle: CPU', unit: '%', figure: 'apiServerCpuPercent' },
  { what: 'API server: memory', unit: 'MiB', figure: 'apiServerResidentBytes' },
  { what: 'API server, idle: requests', unit: '/s', figure: 'apiRequestsPerSecond' },
  { what: 'API server, idle: writes', unit: '/s', figure: 'apiWritesPerSecond' },
  { what: 'simulated agents, all together, idle: CPU', unit: '%', figure: 'agentsCpuPercent' },
  { what: 'simulated agents, all together: memory', unit: 'MiB', figure: 'agentsResidentBytes' },
  { what: 'leader killed (-9) until the next one decides', unit: 'ms', figure: 'leaderChangedMs', goal: 12_000 },
  { what: 'operator started until it decides', unit: 'ms', figure: 'startedMs', goal: 15_000 },
  { what: 'a node lost: its replicas', unit: '', figure: 'node.replicas' },
  { what: 'a node lost: its primaries', unit: '', figure: 'node.primaries' },
  { what: 'a node lost: until the last epoch is written', unit: 'ms', figure: 'node.fencedMs', goal: 10_000 },
  { what: 'a node lost: until nobody counts on it', unit: 'ms', figure: 'node.droppedMs', goal: 10_000 },
  { what: 'then all attached elsewhere: until the last is promoted', unit: 'ms', figure: 'node.movedMs' },
  { what: 'a crowded node lost: its replicas', unit: '', figure: 'crowded.replicas' },
  { what: 'a crowded node lost: its primaries', unit: '', figure: 'crowded.primaries' },
  { what: 'a crowded node lost: until the last epoch is written', unit: 'ms', figure: 'crowded.fencedMs', goal: 10_000 },
  { what: 'a crowded node lost: until nobody counts on it', unit: 'ms', figure: 'crowded.droppedMs', goal: 10_000 },
  { what: 'then all attached elsewhere: until the last is promoted', unit: 'ms', figure: 'crowded.movedMs' },
  {
    what: 'all replicas of the first node made anew (REPLACE_AFTER_SECONDS=30, 8 at once), from the end of the steps before',
    unit: 'ms',
    figure: 'node.replacedMs',
  },
];

const MIB = 2 ** 20;

function shown(value: number, unit: Row['unit']): string {
  if (unit === 'MiB') return `${Math.round(value / MIB).toLocaleString('en')} MiB`;
  if (unit === '%' || unit === '/s') return `${value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString('en')} ${unit}`;
  return `${Math.round(value).toLocaleString('en')} ${unit}`.trim();
}

const comparable = (value: number, unit: Row['unit']): number => (unit === 'MiB' ? value / MIB : value);

/** Those that were measured. */
export function tableOf(title: string, figures: Figures): string {
  const lines = [`| ${title} | measured | wanted | |`, '|---|---:|---:|---|'];
  for (const { what, unit, figure, goal } of ROWS) {
    const value = figures[figure];
    if (value === undefined) continue;
    const isMet = goal === undefined || comparable(value, unit) < goal;
    const wanted = goal === undefined ? '' : goal < 1 ? 'none' : `< ${goal.toLocaleString('en')} ${unit}`;
    lines.push(`| ${what} | ${shown(value, unit)} | ${wanted} | ${goal === undefined ? '' : isMet ? 'met' : '**missed**'} |`);
  }
  return lines.join('\n');
}

/** The goals that this run missed. */
export function missed(figures: Figures): string[] {
  return ROWS.flatMap(({ what, unit, figure, goal }) => {
    const value = figures[figure];
    return goal === undefined || value === undefined || comparable(value, unit) < goal ? [] : [`${what}: ${shown(value, unit)}`];
  });
}
