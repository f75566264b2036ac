/** That the checks of the chaos suite can fail: replicas that differ, files that nobody knows, members without files, tasks without an end. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { replicaId, volumeUid } from '../../../core/ids.ts';
import { strayReplicas, unequalReplicas } from '../../chaos/rest.ts';
import { chaosSettings, WEIGHTS } from '../../chaos/settings.ts';
import { episodes } from '../../history/faults.ts';
import type { HistoryWorld } from '../../history/world.ts';
import { SeededRandom } from '../../support/seededRandom.ts';

const SIZE_BYTES = 3 * 1024 * 1024;
const [A, B] = [replicaId('00000000000000aa'), replicaId('00000000000000bb')];
const NODES = ['node-a', 'node-b'];

describe('chaos: what must be so afterwards', () => {
  let directory: string;
  const poolOf = (node: string): string => path.join(directory, node);
  const dataOf = (node: string, replica: string): string => path.join(poolOf(node), 'replicas', replica, 'data');
  const config: VolumeConfig = {
    ...{ uid: volumeUid('v-1'), name: 'v', sizeBytes: SIZE_BYTES, minInSync: 1, epoch: 1, version: 1, primary: null },
    shards: [
      {
        members: [
          { replica: A, node: 'node-a', pool: 'default' },
          { replica: B, node: 'node-b', pool: 'default' },
        ],
        inSync: [A, B],
      },
    ],
  };
  const worldWith = (tasks: { id: string; state: string }[]): HistoryWorld =>
    ({
      cluster: { nodes: NODES },
      store: { list: () => Promise.resolve({ entries: tasks.map((task) => ({ value: JSON.stringify(task) })) }) },
    }) as unknown as HistoryWorld;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'hf-rest-'));
    for (const [node, replica] of [
      ['node-a', A],
      ['node-b', B],
    ] as const) {
      mkdirSync(path.dirname(dataOf(node, replica)), { recursive: true });
      writeFileSync(dataOf(node, replica), Buffer.alloc(SIZE_BYTES, 7));
    }
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('is content with replicas that are equal, and with one that ends where the other is zeroes', async () => {
    expect(await unequalReplicas(config, poolOf)).to.deep.equal([]);
    writeFileSync(dataOf('node-a', A), Buffer.alloc(SIZE_BYTES));
    writeFileSync(dataOf('node-b', B), Buffer.alloc(4096));
    expect(await unequalReplicas(config, poolOf)).to.deep.equal([]);
  });

  it('finds one byte that differs, and a member that is not in sync', async () => {
    const content = Buffer.alloc(SIZE_BYTES, 7);
    content[SIZE_BYTES - 1] = 8;
    writeFileSync(dataOf('node-b', B), content);
    const shards = [{ members: config.shards[0]?.members ?? [], inSync: [A] }];
    const found = await unequalReplicas({ ...config, shards }, poolOf);
    expect(found.join('\n'))
      .to.match(/of 2 members/)
      .and.to.match(new RegExp(`differ at ${SIZE_BYTES - 1}`));
  });

  it('finds files without a member, a member without files, and a task that has not ended', async () => {
    expect(await strayReplicas(worldWith([{ id: 'create-a', state: 'done' }]), [config], poolOf)).to.deep.equal([]);
    rmSync(path.dirname(dataOf('node-b', B)), { recursive: true });
    mkdirSync(path.dirname(dataOf('node-a', 'stray')), { recursive: true });
    const found = await strayReplicas(worldWith([{ id: 'create-b', state: 'running' }]), [config], poolOf);
    expect(found).to.deep.equal(["node-a/stray is no member's", `the member node-b/${B} has no files`, 'the task create-b is running']);
  });
});

describe('chaos: the parameters of a run', () => {
  it('refuses what is no number of anything', () => {
    expect(() => chaosSettings({ VOLUMES: 'many' }, () => 1)).to.throw('VOLUMES=many');
    expect(chaosSettings({ MINUTES: '20', SEED: '' }, () => 9)).to.include({
      durationMs: 1_200_000,
      seed: 9,
      nodes: 5,
      volumes: 20,
      etcdMembers: 3,
    });
  });

  it('has every fault that it knows in an hour', () => {
    const wanted = { durationMs: 3_600_000, together: 2, kinds: [], weights: WEIGHTS, nodes: 5, volumes: 20 };
    const kinds = new Set(episodes(new SeededRandom(7), wanted).flatMap(({ faults }) => faults.map(({ fault }) => fault.kind)));
    expect([...kinds].sort()).to.deep.equal(Object.keys(WEIGHTS).sort());
  });
});
