/**
 * Each alert fires on its cause and not before its time, is silent without it, and where planned maintenance explains the cause, in maintenance. Asked of promtool,
 * with series as the programs show them; that they show them so is the matter of test/monitoring.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { type Alert, allAlerts, minutesOf, RUNBOOKS_DIRECTORY, ruleFiles } from '../../support/monitoring/alerts.ts';

/** `name{labels}`: its values, as promtool has them. One a minute. */
type Series = Record<string, string>;
type Case = {
  /** As the programs show it while the cause is there. */
  cause: Series;
  labels: Record<string, string>;
  /** What is shown besides while that is planned; null: no maintenance explains it. */
  planned: Series | null;
  /** Before the cause, or what must not be taken for it. */
  quiet: Series;
  /** In minutes, where more than `for` must have been seen. */
  seenMinutes?: number;
};

/** A second or two, where nobody else is. */
const PROMTOOL_MS = 180_000;
const DAY_SECONDS = 24 * 3600;
const always = (value: number): string => `${value}x600`;
const MAINTENANCE: Series = { 'holdfast_node_state_info{node="node-a",state="maintenance"}': always(1) };
const volume = (phase: string, reason: string): Series => ({
  [`holdfast_volume_state_info{volume="db",phase="${phase}",reason="${reason}",node="node-a"}`]: always(1),
});
const POOL = 'node="node-a",pool="main"';
const DB = { volume: 'db' };
const NODE_A = { node: 'node-a' };
const MAIN = { ...NODE_A, pool: 'main' };

const certificate = (beganDays: number, endsDays: number): Series => ({
  'holdfast_certificate_begins_timestamp_seconds{instance="i"}': always(beganDays * DAY_SECONDS),
  'holdfast_certificate_ends_timestamp_seconds{instance="i"}': always(endsDays * DAY_SECONDS),
});

const CASES: Record<string, Case> = {
  VolumeUnavailable: {
    cause: volume('Unavailable', 'NodeGone'),
    labels: { ...DB, ...NODE_A },
    planned: MAINTENANCE,
    quiet: { ...volume('Degraded', 'OutOfSync') },
  },
  VolumeFailed: {
    cause: volume('Failed', 'AllReplicasFailed'),
    labels: { ...DB, reason: 'AllReplicasFailed' },
    planned: null,
    quiet: volume('Failed', 'ConfigLost'),
  },
  ConfigLost: {
    cause: volume('Failed', 'ConfigLost'),
    labels: { ...DB, reason: 'ConfigLost' },
    planned: null,
    quiet: volume('Failed', 'NotSupported'),
  },
  VolumeDegraded: { cause: volume('Degraded', 'OutOfSync'), labels: DB, planned: null, quiet: volume('Degraded', 'Maintenance') },
  RebuildStuck: {
    cause: { 'holdfast_volume_resync_left_bytes{volume="db"}': always(4096) },
    labels: DB,
    planned: volume('Degraded', 'Maintenance'),
    quiet: { 'holdfast_volume_resync_left_bytes{volume="db"}': '100000000-1000x600' },
    seenMinutes: 11,
  },
  ReplicaFailed: {
    cause: { 'holdfast_replicas_count{node="node-a",state="failed"}': always(2) },
    labels: NODE_A,
    planned: MAINTENANCE,
    quiet: { 'holdfast_replicas_count{node="node-a",state="served"}': always(2) },
  },
  BlocksDiffer: {
    cause: { 'holdfast_volume_unresolved_blocks_count{volume="db"}': always(1) },
    labels: DB,
    planned: null,
    quiet: { 'holdfast_volume_unresolved_blocks_count{volume="db"}': always(0) },
  },
  VolumeWaitsForPlace: {
    cause: { holdfast_volumes_unschedulable_count: always(1) },
    labels: {},
    planned: { 'holdfast_nodes_count{state="maintenance"}': always(1) },
    quiet: { holdfast_volumes_unschedulable_count: always(0) },
  },
  SnapshotsFail: {
    cause: { 'holdfast_snapshots_count{state="failing"}': always(1) },
    labels: { state: 'failing' },
    planned: null,
    quiet: { 'holdfast_snapshots_count{state="failing"}': always(0), 'holdfast_snapshots_count{state="ready"}': always(3) },
  },
  NodeAway: {
    cause: { 'holdfast_node_state_info{node="node-a",state="away"}': always(1) },
    labels: NODE_A,
    planned: null,
    quiet: { ...MAINTENANCE, 'holdfast_node_state_info{node="node-b",state="ready"}': always(1) },
  },
  PoolQuarantined: {
    cause: { [`holdfast_pool_quarantined_count{${POOL}}`]: always(1) },
    labels: MAIN,
    planned: MAINTENANCE,
    quiet: { [`holdfast_pool_quarantined_count{${POOL}}`]: always(0) },
  },
  PoolFull: {
    cause: { [`holdfast_pool_limit_ratio{${POOL},limit="reserve"}`]: always(1.01) },
    labels: MAIN,
    planned: null,
    quiet: { [`holdfast_pool_limit_ratio{${POOL},limit="reserve"}`]: always(0.95) },
  },
  PoolNearlyFull: {
    cause: { [`holdfast_pool_limit_ratio{${POOL},limit="pressure"}`]: always(1) },
    labels: MAIN,
    planned: null,
    // The page says it already.
    quiet: {
      [`holdfast_pool_limit_ratio{${POOL},limit="pressure"}`]: always(1.1),
      [`holdfast_pool_limit_ratio{${POOL},limit="reserve"}`]: always(1),
    },
  },
  PoolOverProvisioned: {
    cause: { [`holdfast_pool_limit_ratio{${POOL},limit="overProvisioning"}`]: always(1) },
    labels: MAIN,
    planned: null,
    quiet: { [`holdfast_pool_limit_ratio{${POOL},limit="overProvisioning"}`]: always(0.99) },
  },
  PoolFillsUp: {
    cause: { [`holdfast_pool_capacity_bytes{${POOL}}`]: always(1_000_000), [`holdfast_pool_used_bytes{${POOL}}`]: '600000+200x600' },
    labels: MAIN,
    planned: null,
    quiet: { [`holdfast_pool_capacity_bytes{${POOL}}`]: always(1_000_000), [`holdfast_pool_used_bytes{${POOL}}`]: '600000+10x600' },
    // Nothing is told of a pool that is younger than its trend.
    seenMinutes: 300,
  },
  ClockOff: {
    cause: { 'holdfast_clock_timestamp_seconds{instance="i"}': '-40+60x600' },
    labels: { instance: 'i' },
    planned: null,
    quiet: { 'holdfast_clock_timestamp_seconds{instance="i"}': '2+60x600' },
  },
  CertificateEndsSoon: {
    // Of 90 days.
    cause: certificate(-77, 13),
    labels: { instance: 'i' },
    planned: null,
    // One that lives for three days, and is renewed when it has one left.
    quiet: certificate(-2, 1.1),
  },
  NoLeader: {
    cause: { 'holdfast_leader_count{instance="i"}': always(0) },
    labels: {},
    planned: null,
    quiet: { 'holdfast_leader_count{instance="i"}': always(0), 'holdfast_leader_count{instance="j"}': always(1) },
  },
  ApiServerUnreachable: {
    cause: { 'holdfast_source_behind_count{instance="i",source="apiserver"}': always(1) },
    labels: { instance: 'i' },
    planned: null,
    quiet: { 'holdfast_source_behind_count{instance="i",source="apiserver"}': always(0) },
  },
  EtcdUnreachable: {
    cause: { 'holdfast_source_behind_count{instance="i",source="etcd"}': always(1) },
    labels: { instance: 'i' },
    planned: null,
    quiet: { 'holdfast_source_behind_count{instance="i",source="etcd"}': always(0) },
  },
  TasksStuck: {
    cause: { 'holdfast_node_oldest_task_seconds{node="node-a"}': '901+60x600' },
    labels: NODE_A,
    planned: MAINTENANCE,
    // Somebody was told already.
    quiet: {
      'holdfast_node_oldest_task_seconds{node="node-a"}': '901+60x600',
      'holdfast_node_state_info{node="node-a",state="away"}': always(1),
    },
  },
  SchemaUnknown: {
    cause: { 'holdfast_schema_unknown_count{instance="i"}': always(1) },
    labels: { instance: 'i' },
    planned: null,
    // One that starts, until it has seen etcd.
    quiet: { 'holdfast_schema_unknown_count{instance="i"}': '1 1 0x600' },
  },
  EtcdAlarm: {
    cause: { 'holdfast_etcd_alarms_count{alarm="NOSPACE"}': always(1) },
    labels: { alarm: 'NOSPACE' },
    planned: null,
    quiet: { 'holdfast_etcd_alarms_count{alarm="NOSPACE"}': always(0) },
  },
  EtcdSpace: {
    cause: { holdfast_etcd_quota_ratio: always(0.81) },
    labels: {},
    planned: null,
    quiet: { holdfast_etcd_quota_ratio: always(0.79) },
  },
  EtcdMemberDown: {
    cause: { 'holdfast_etcd_members_count{state="silent"}': always(1) },
    labels: {},
    planned: null,
    quiet: { 'holdfast_etcd_members_count{state="silent"}': always(0) },
  },
  EtcdDamagedKeys: {
    cause: { holdfast_etcd_damaged_keys_count: always(1) },
    labels: {},
    planned: null,
    quiet: { holdfast_etcd_damaged_keys_count: always(0) },
  },
};

function testsOf(alert: Omit<Alert, 'annotations'>, { cause, labels, planned, quiet, seenMinutes = 0 }: Case) {
  const name = alert.alert;
  const dueMinutes = minutesOf(alert.for) + seenMinutes + 1;
  const of = (title: string, series: Series, times: [atMinutes: number, fires: boolean][]) => ({
    name: `${name} ${title}`,
    interval: '1m',
    input_series: Object.entries(series).map(([one, values]) => ({ series: one, values })),
    alert_rule_test: times.map(([atMinutes, fires]) => ({
      alertname: name,
      eval_time: `${atMinutes * 60 - 1}s`,
      exp_alerts: fires ? [{ exp_labels: { severity: alert.labels.severity, ...labels } }] : [],
    })),
  });
  const early: [number, boolean][] = minutesOf(alert.for) >= 2 ? [[minutesOf(alert.for) - 1, false]] : [];
  return [
    of('fires on its cause', cause, [...early, [dueMinutes + 1, true]]),
    of('is silent without it', quiet, [[dueMinutes + 60, false]]),
    ...(planned === null ? [] : [of('is silent in maintenance', { ...cause, ...planned }, [[dueMinutes + 60, false]])]),
  ];
}

/** Sentences are looked at by people: what is compared are name and labels. */
function promtool(words: string[], cwd: string): void {
  execFileSync('promtool', words, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: PROMTOOL_MS });
}

describe('monitoring: alerts', function () {
  this.timeout(2 * PROMTOOL_MS);
  const alerts = allAlerts();

  it('are rules that Prometheus takes', () => promtool(['check', 'rules', ...ruleFiles()], tmpdir()));

  it('each has severity, patience, a sentence and a runbook, and each runbook its alert', () => {
    const names = alerts.map(({ alert }) => alert);
    expect(new Set(names).size).to.equal(names.length);
    for (const { alert, labels, annotations, ...rest } of alerts) {
      expect(labels.severity, alert).to.match(/^(page|warn)$/);
      expect(minutesOf(rest.for), alert).to.be.at.least(1);
      expect(annotations.summary, alert).to.match(/[.]$/);
      const own = alert
        .replace(/^Holdfast/, '')
        .replace(/(?<!^)([A-Z])/g, '-$1')
        .toLowerCase();
      expect(annotations.runbook_url, alert).to.equal(`docs/runbooks/${own}.md`);
      const runbook = readFileSync(path.join(RUNBOOKS_DIRECTORY, `${own}.md`), 'utf8');
      for (const part of ['What it means', 'At risk', 'Look first', 'Repair', 'Over when']) expect(runbook, own).to.include(`## ${part}`);
      expect(runbook.split('\n')[0]).to.equal(`# ${alert}`);
    }
    expect(runbookNames()).to.deep.equal(names.map((name) => name).sort());
  });

  it('each is tested here', () =>
    expect(
      Object.keys(CASES)
        .map((name) => `Holdfast${name}`)
        .sort(),
    ).to.deep.equal(alerts.map(({ alert }) => alert).sort()));

  it('fire on their causes, not before their time, and are silent without them and in maintenance', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-rules-'));
    try {
      // Each with its own rule alone: all rules in each test would be evaluated a hundred thousand times.
      const files = alerts.map(({ annotations: _, ...alert }) => {
        const own = CASES[alert.alert.replace(/^Holdfast/, '')];
        const tests = own === undefined ? [] : testsOf(alert, own);
        const rules = `${alert.alert}.rules.yaml`;
        writeFileSync(path.join(directory, rules), stringify({ groups: [{ name: 'one', rules: [alert] }] }));
        const file = `${alert.alert}.tests.yaml`;
        writeFileSync(path.join(directory, file), stringify({ rule_files: [rules], evaluation_interval: '1m', tests }));
        return file;
      });
      try {
        promtool(['test', 'rules', ...files], directory);
      } catch (error) {
        const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
        throw new Error(`${stdout ?? ''}${stderr ?? ''}` || String(error));
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

function runbookNames(): string[] {
  return readdirSync(RUNBOOKS_DIRECTORY)
    .filter((file) => file !== 'README.md')
    .map((file) => readFileSync(path.join(RUNBOOKS_DIRECTORY, file), 'utf8').split('\n')[0]?.slice(2) ?? '')
    .sort();
}
