/** What the leader tells of single objects: named, bounded, the worst first, and nothing any more when it does not lead. */
import { expect } from 'chai';
import { createMetrics } from '../../../edge/metrics.ts';
import type { VolumeSpec } from '../../../operator/generated/volume.ts';
import { objectMetrics, type ToldObjects, VOLUMES_TOLD_MAX } from '../../../operator/objectMetrics.ts';
import type { ToldVolume } from '../../../operator/volume/told.ts';
import { toldOf } from '../../../operator/volume/told.ts';
import { spec } from '../../support/operator/builders.ts';

const volume = (name: string, change: Partial<ToldVolume> = {}): ToldVolume => ({
  name,
  phase: 'Healthy',
  reason: 'Healthy',
  node: 'node-a',
  inSync: 3,
  replicas: 3,
  sizeBytes: 1024,
  resyncLeftBytes: 0,
  unresolvedBlocks: 0,
  scrubbedAtSeconds: null,
  ...change,
});

const told = (volumes: readonly ToldVolume[], change: Partial<ToldObjects> = {}): ToldObjects => ({
  volumes: new Map(volumes.map((one) => [one.name, one])),
  nodes: [],
  pools: [],
  snapshots: [],
  oldestTasksMs: new Map(),
  ...change,
});

async function shown(objects: ToldObjects): Promise<string> {
  const metrics = createMetrics({ processMetrics: false });
  objectMetrics(metrics).see(objects);
  return metrics.render();
}

describe('operator: what is told of single objects', () => {
  it('names volumes, nodes, pools', async () => {
    const text = await shown(
      told([volume('db', { phase: 'Degraded', reason: 'OutOfSync', inSync: 2, resyncLeftBytes: 7 })], {
        nodes: [{ node: 'node-a', state: 'maintenance', version: '1.2.3' }],
        pools: [{ node: 'node-b', pool: 'fast', limit: 'pressure', level: 'reached', ratio: 1.1 }],
        snapshots: ['failing', 'ready', 'ready'],
        oldestTasksMs: new Map([['node-b', 61_000]]),
      }),
    );
    expect(text).to.include('holdfast_volume_state_info{volume="db",phase="Degraded",reason="OutOfSync",node="node-a"} 1');
    expect(text).to.include('holdfast_volume_in_sync_count{volume="db"} 2');
    expect(text).to.include('holdfast_volume_resync_left_bytes{volume="db"} 7');
    expect(text).not.to.include('holdfast_volume_scrub_ended_timestamp_seconds{');
    expect(text).to.include('holdfast_node_state_info{node="node-a",state="maintenance",version="1.2.3"} 1');
    expect(text).to.include('holdfast_pool_limit_ratio{node="node-b",pool="fast",limit="pressure"} 1.1');
    expect(text).to.include('holdfast_snapshots_count{state="ready"} 2');
    expect(text).to.include('holdfast_snapshots_count{state="blocked"} 0');
    expect(text).to.include('holdfast_node_oldest_task_seconds{node="node-b"} 61');
    expect(text).to.include('holdfast_volumes_untold_count 0');
  });

  it('leaves out the best beyond the bound, and says how many', async () => {
    const healthy = Array.from({ length: VOLUMES_TOLD_MAX }, (_, index) => volume(`good-${index}`));
    const text = await shown(told([...healthy, volume('bad', { phase: 'Failed', reason: 'ConfigLost' })]));
    expect([...text.matchAll(/^holdfast_volume_state_info\{/gm)]).to.have.length(VOLUMES_TOLD_MAX);
    expect(text).to.include('volume="bad"');
    expect(text).to.include('holdfast_volumes_untold_count 1');
  });

  it('does not show what is no more', async () => {
    const metrics = createMetrics({ processMetrics: false });
    const objects = objectMetrics(metrics);
    objects.see(told([volume('db')]));
    expect(await metrics.render()).to.include('volume="db"');
    objects.see(told([volume('db', { phase: 'Unavailable', reason: 'Stalled' })]));
    expect(await metrics.render()).not.to.include('phase="Healthy"');
    objects.forget();
    expect(await metrics.render()).not.to.include('volume="db"');
  });
});

describe('operator: a volume in numbers', () => {
  const attachedSpec: VolumeSpec = { ...spec(), attachTo: 'node-b' };
  it('is read from its status', () => {
    const row = toldOf('db', attachedSpec, {
      phase: 'Degraded',
      size: '1Gi',
      inSync: '2/3',
      replicas: [{ name: 'r', node: 'node-c', pool: 'main', shard: 0, state: 'Learner', progress: { doneBytes: 10, totalBytes: 30 } }],
      scrub: { position: '100%', lastCompleted: '2026-01-01T00:00:00Z', repaired: 0, unresolved: 2 },
      conditions: [{ type: 'Ready', status: 'True', reason: 'OutOfSync', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }],
    });
    expect(row).to.deep.equal({
      name: 'db',
      phase: 'Degraded',
      reason: 'OutOfSync',
      node: 'node-b',
      inSync: 2,
      replicas: 3,
      sizeBytes: 1024 ** 3,
      resyncLeftBytes: 20,
      unresolvedBlocks: 2,
      scrubbedAtSeconds: Date.UTC(2026, 0, 1) / 1000,
    });
  });

  it('is nothing before anything is said', () => expect(toldOf('db', attachedSpec, {})).to.equal(null));
});
