import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Shard } from '../../../core/config.ts';
import { type ReplicaId, replicaId } from '../../../core/ids.ts';
import { wantedInSync } from '../../scale/fakePrimaries.ts';
import { parseSamples, sumOf } from '../../scale/instruments.ts';
import { CROWDED_LABEL, planNodes, planVolumes, scaleSettings } from '../../scale/plan.ts';
import { missed, tableOf } from '../../scale/report.ts';

const [a, b, c] = ['a', 'b', 'c'].map((letter) => replicaId(letter.repeat(16))) as [ReplicaId, ReplicaId, ReplicaId];

function shard(inSync: ReplicaId[], leaving: ReplicaId[] = []): Shard {
  const members = [a, b, c].map((replica, index) => ({ replica, node: `node-${index}`, pool: 'default' }));
  return { inSync, members: members.map((member) => (leaving.includes(member.replica) ? { ...member, leaving: true as const } : member)) };
}
const none: ReadonlySet<never> = new Set<never>();

describe('bench-scale: a primary without data', () => {
  it('takes in who has learned, and nobody else', () => {
    deepStrictEqual(wantedInSync(shard([a, b]), 2, new Set([c]), none), [a, b, c]);
    deepStrictEqual(wantedInSync(shard([a, b]), 2, none, none), [a, b]);
  });

  it('drops who leaves or is gone as far as enough stay', () => {
    deepStrictEqual(wantedInSync(shard([a, b, c]), 2, none, new Set(['node-1'])), [a, c]);
    deepStrictEqual(wantedInSync(shard([a, b, c], [a]), 2, none, new Set(['node-1'])), [b, c]);
    deepStrictEqual(wantedInSync(shard([a, b]), 2, none, new Set(['node-1'])), [a, b]);
  });

  it('does not take in a learner that is gone or leaves', () => {
    deepStrictEqual(wantedInSync(shard([a, b]), 1, new Set([c]), new Set(['node-2'])), [a, b]);
    deepStrictEqual(wantedInSync(shard([a, b], [c]), 1, new Set([c]), none), [a, b]);
  });
});

describe('bench-scale: nodes and volumes', () => {
  it('crowds as many replicas as five hundred on each of four nodes of a thousand', () => {
    const size = { nodes: 1_000, volumes: 10_000 };
    const crowded = planVolumes(size).filter(({ nodeSelector }) => nodeSelector !== null);
    ok(Math.abs((crowded.length * 3) / 4 - 500) < 1);
    strictEqual(planNodes(size).filter(({ labels }) => labels === CROWDED_LABEL).length, 4);
    ok(crowded.every(({ attachTo }) => ['node-0', 'node-1', 'node-2', 'node-3'].includes(attachTo)));
  });

  it('attaches every volume to a node that there is', () => {
    const size = { nodes: 8, volumes: 100 };
    const nodes = new Set(planNodes(size).map(({ node }) => node));
    ok(planVolumes(size).every(({ attachTo }) => nodes.has(attachTo)));
    strictEqual(new Set(planVolumes(size).map(({ name }) => name)).size, 100);
  });

  it('refuses what is no size, and steps that there are not', () => {
    throws(() => scaleSettings({ NODES: '7' }), /NODES=7 is not a whole number from 8/);
    throws(() => scaleSettings({ STEPS: 'idle sleep' }), /there are idle, leader/);
    strictEqual(scaleSettings({ NODES: '', VOLUMES: '' }).nodes, 50);
  });
});

describe('bench-scale: what is read and shown', () => {
  const samples = parseSamples('# HELP x y\nx_total{verb="GET",resource="volumes"} 3\nx_total{verb="PUT"} 4.5\nx 1e3\n');

  it('sums over labels', () => {
    strictEqual(sumOf(samples, 'x_total'), 7.5);
    strictEqual(sumOf(samples, 'x_total', 'verb="PUT"'), 4.5);
    strictEqual(sumOf(samples, 'x'), 1_000);
    strictEqual(sumOf(samples, 'y'), 0);
  });

  it('shows what was measured, and calls a goal that was missed so', () => {
    const figures = { leaderCpuPercent: 12.4, startedMs: 3_000 };
    const table = tableOf('50 nodes', figures);
    ok(table.includes('| leader, idle: CPU | 12 % | < 10 % | **missed** |'), table);
    ok(table.includes('| 3,000 ms | < 15,000 ms | met |'), table);
    strictEqual(table.split('\n').length, 4);
    deepStrictEqual(missed(figures), ['leader, idle: CPU: 12 %']);
  });
});
