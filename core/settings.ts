/** Settings of every agent: one value with one version in etcd. All change together or not at all. Pure. */

export type Settings = {
  heartbeatMs: number;
  leaseMs: number;
  replicaTimeoutMs: number;
  ioTimeoutMs: number;
  resyncBytesPerSecond: number;
  scrubIntervalSeconds: number;
  scrubBytesPerSecond: number;
};

export type VersionedSettings = { version: number; values: Settings };

/** Shorter ones would run out between two heartbeats of a busy machine. */
const LEASE_MS_MIN = 200;

type Row = { key: keyof Settings; unit: string; fallback: number; min: number; max: number; reason: string };

/** One table: key, unit, default, range, reason. Helm values carry the same names. */
export const SETTINGS_TABLE: readonly Row[] = [
  { key: 'heartbeatMs', unit: 'ms', fallback: 200, min: 20, max: 10_000, reason: 'how often a primary asks an idle replica for its lease' },
  {
    key: 'leaseMs',
    unit: 'ms',
    fallback: 2_000,
    min: 0,
    max: 60_000,
    reason:
      'how long a replica promises to answer nobody newer; a new primary waits it out. 0: no such promises, every reply asks all replicas first: where clocks may be stopped',
  },
  {
    key: 'replicaTimeoutMs',
    unit: 'ms',
    fallback: 5_000,
    min: 200,
    max: 120_000,
    reason: 'silence after which a replica leaves the in-sync set',
  },
  {
    key: 'ioTimeoutMs',
    unit: 'ms',
    fallback: 30_000,
    min: 0,
    max: 3_600_000,
    reason: 'how long I/O waits for minInSync before it fails; 0: for ever',
  },
  {
    key: 'resyncBytesPerSecond',
    unit: 'B/s',
    fallback: 1024 ** 3,
    min: 1024 * 1024,
    max: 100 * 1024 ** 3,
    reason: 'what catching up may take of a primary; while clients have requests it does one extent at a time anyway',
  },
  {
    key: 'scrubIntervalSeconds',
    unit: 's',
    fallback: 7 * 86_400,
    min: 0,
    max: 365 * 86_400,
    reason: 'how often all replicas of a volume in use are compared; 0: never',
  },
  {
    key: 'scrubBytesPerSecond',
    unit: 'B/s',
    fallback: 64 * 1024 * 1024,
    min: 1024 * 1024,
    max: 100 * 1024 ** 3,
    reason: 'what of a volume a scrub reads on each replica',
  },
];

export const DEFAULT_SETTINGS: Settings = Object.freeze(
  Object.fromEntries(SETTINGS_TABLE.map((row) => [row.key, row.fallback])) as Settings,
);

export type SettingsProblem = { key: string; value: unknown; rule: string };

function relations(values: Settings): SettingsProblem[] {
  const problems: SettingsProblem[] = [];
  const rule = (broken: boolean, key: keyof Settings, text: string) => {
    if (broken) problems.push({ key, value: values[key], rule: text });
  };
  const leaseMsMin = Math.max(LEASE_MS_MIN, 4 * values.heartbeatMs);
  const isLeaseShort = values.leaseMs !== 0 && values.leaseMs < leaseMsMin;
  rule(isLeaseShort, 'leaseMs', `must be 0, or at least ${LEASE_MS_MIN} and 4 x heartbeatMs (${values.heartbeatMs})`);
  rule(values.replicaTimeoutMs < 4 * values.heartbeatMs, 'replicaTimeoutMs', `must be at least 4 x heartbeatMs (${values.heartbeatMs})`);
  rule(
    values.ioTimeoutMs !== 0 && values.ioTimeoutMs < 2 * values.replicaTimeoutMs,
    'ioTimeoutMs',
    `must be 0 or at least 2 x replicaTimeoutMs (${values.replicaTimeoutMs})`,
  );
  return problems;
}

/** All of `input`, or every problem with it. Keys left out take their default. */
export function parseSettings(input: unknown): { settings: Settings; problems: [] } | { settings: null; problems: SettingsProblem[] } {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return { settings: null, problems: [{ key: 'settings', value: input, rule: 'must be a map of names to numbers' }] };
  }
  const given = input as Record<string, unknown>;
  const problems: SettingsProblem[] = Object.keys(given)
    .filter((key) => !SETTINGS_TABLE.some((row) => row.key === key))
    .map((key) => ({ key, value: given[key], rule: 'is not a setting' }));
  const settings = { ...DEFAULT_SETTINGS };
  for (const row of SETTINGS_TABLE) {
    const value = given[row.key] ?? row.fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < row.min || value > row.max) {
      problems.push({ key: row.key, value, rule: `must be a whole number from ${row.min} to ${row.max} (${row.unit})` });
    } else settings[row.key] = value;
  }
  if (problems.length === 0) problems.push(...relations(settings));
  return problems.length > 0 ? { settings: null, problems } : { settings: Object.freeze(settings), problems: [] };
}
