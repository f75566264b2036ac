/** What fio does to every system, one after the other, and in which unit it counts. A table and nothing else. */

export type Work = {
  readonly name: string;
  readonly title: string;
  readonly load: readonly string[];
  readonly direction: 'read' | 'write';
  /** What people count: operations, or bytes. */
  readonly unit: 'IOPS' | 'MiB/s';
};

const random = (name: string, direction: 'read' | 'write', depth: number, ...others: string[]): Work => ({
  name,
  title: `4k rand${direction}${others.length > 0 ? ' + fsync' : ''}, QD${depth}`,
  load: [`--rw=rand${direction}`, '--bs=4k', `--iodepth=${depth}`, ...others],
  direction,
  unit: 'IOPS',
});

const sequential = (name: string, direction: 'read' | 'write', depth: number): Work => ({
  name,
  title: `1M sequential ${direction}, QD${depth}`,
  load: [`--rw=${direction}`, '--bs=1m', `--iodepth=${depth}`],
  direction,
  unit: 'MiB/s',
});

export const WORKS: readonly Work[] = [
  random('randwrite-qd1', 'write', 1),
  random('randwrite-qd16', 'write', 16),
  random('randwrite-qd64', 'write', 64),
  random('fsync-qd1', 'write', 1, '--fsync=1'),
  sequential('write-1m', 'write', 4),
  random('randread-qd1', 'read', 1),
  random('randread-qd16', 'read', 16),
  sequential('read-1m', 'read', 4),
];

/** Works that are not fio against a volume; each has a file of its own. */
export const OTHER_WORKS = ['resync', 'kill', 'vanish', 'idle'] as const;
export type OtherWork = (typeof OTHER_WORKS)[number];
