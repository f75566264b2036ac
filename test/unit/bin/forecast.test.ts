/** What a drain's dry run shows is what the leader then does: the whole control loop in memory, many small clusters. */
import { expect } from 'chai';
import { forecast } from '../../../bin/view/forecast.ts';
import type { PoolReport } from '../../../core/machine.ts';
import { collectionPath, type StorageNodeObject, type VolumeObject } from '../../../operator/api.ts';
import { conditionOf } from '../../../operator/conditions.ts';
import { GiB, pool } from '../../support/operator/builders.ts';
import { Rig } from '../../support/operator/rig.ts';
import { SeededRandom } from '../../support/seededRandom.ts';
import { LIMITS } from './fixtures.ts';

const SEEDS = 60;
const LETTERS = 'abcdef';
const DRAINED = 'node-a';
/** Sizes that Kubernetes would round. */
const ODD_BYTES = 4096 * 12_345;

const nodes = (rig: Rig): StorageNodeObject[] => rig.api.objectsOf<StorageNodeObject>(collectionPath('storagenodes'));
const drained = (rig: Rig): StorageNodeObject => nodes(rig).find(({ metadata }) => metadata.name === DRAINED) as StorageNodeObject;

/** Of each volume, where its replicas are, by shard. */
const placesOf = (rig: Rig): Map<string, string[]> =>
  new Map(
    rig.configs.map(({ name, shards }) => [
      name,
      shards.flatMap(({ members }, shard) => members.map((one) => `${shard}: ${one.node}/${one.pool}`)).sort(),
    ]),
  );

describe('kubectl holdfast drain --dry-run: the leader does as it was foretold', function () {
  this.timeout(120_000);

  const pick = <Item>(random: SeededRandom, items: readonly Item[]): Item => items[Math.floor(random.unit() * items.length)] as Item;

  /** Six nodes of some sizes, zones, labels and tags, one of them perhaps not wanted or nearly full, and volumes on them. */
  async function clusterOf(seed: number): Promise<Rig> {
    const random = new SeededRandom(seed);
    const rig = new Rig(seed);
    rig.rebalance = 'off';
    for (const letter of LETTERS) {
      const capacityBytes = pick(random, [6, 10, 16]) * GiB + ODD_BYTES;
      const change: Partial<PoolReport> = {
        capacityBytes,
        usedBytes: Math.round(pick(random, [0.1, 0.3, 0.6]) * capacityBytes),
        tags: pick(random, [['fast'], []]),
      };
      rig.start(letter, {
        zone: pick(random, ['left', 'right', 'far']),
        labels: { disk: pick(random, ['nvme', 'hdd']) },
        pools: [pool(change)],
      });
    }
    rig.elect();
    await rig.until('nodes are known', () => nodes(rig).length === LETTERS.length);
    const count = 4 + Math.floor(random.unit() * 14);
    for (let index = 0; index < count; index++) {
      const placement = {
        nodeSelector: random.unit() < 0.2 ? { disk: 'nvme' } : {},
        poolTags: random.unit() < 0.2 ? ['fast'] : [],
        zones: pick(random, ['Prefer', 'Prefer', 'Ignore', 'Require'] as const),
      };
      const size = `${pick(random, [300, 700, 1_500, 3_000])}Mi`;
      await rig.create(`v${index}`, { size, replicas: pick(random, [1, 2, 3]), shards: pick(random, [1, 1, 1, 2]), placement });
    }
    const isSettled = ({ status }: VolumeObject): boolean =>
      status?.phase === 'Healthy' || conditionOf(status?.conditions, 'Scheduled')?.reason === 'Unschedulable';
    await rig.until('all are made, or fit nowhere', () => rig.volumes.every(isSettled));
    return rig;
  }

  let moved = 0;
  let blocked = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`seed ${seed}`, async () => {
      const rig = await clusterOf(seed);
      const foretold = forecast(DRAINED, rig.volumes, nodes(rig), LIMITS);
      const expected = placesOf(rig);
      for (const { volume, shard, to } of foretold) {
        const places = expected.get(volume) ?? [];
        if (to !== null)
          expected.set(volume, places.map((place) => (place.startsWith(`${shard}: ${DRAINED}/`) ? `${shard}: ${to}` : place)).sort());
      }
      const stuck = foretold.filter(({ to }) => to === null);
      rig.api.change<StorageNodeObject>(`${collectionPath('storagenodes')}/${DRAINED}`, ({ spec }) =>
        Object.assign(spec, { schedulable: false, evict: true }),
      );
      await rig.until(
        'only what cannot leave is left',
        () => {
          const evicted = conditionOf(drained(rig).status?.conditions, 'Evicted');
          const { replicasLeft = -1, blocked: waiting = [] } = drained(rig).status?.evicting ?? {};
          return (
            evicted !== undefined &&
            replicasLeft === stuck.length &&
            new Set(waiting.map(({ volume }) => volume)).size === new Set(stuck.map(({ volume }) => volume)).size
          );
        },
        1_200,
      );
      expect(placesOf(rig)).to.deep.equal(expected);
      const told = (drained(rig).status?.evicting?.blocked ?? []).map(({ volume, reason }) => `${volume}: ${reason}`);
      expect(stuck.map(({ volume, reason }) => `${volume}: ${reason}`).sort()).to.deep.equal(told.sort());
      moved += foretold.length - stuck.length;
      blocked += stuck.length;
    });
  }

  it('moved and blocked enough for that to mean anything', () => {
    expect([moved > SEEDS, blocked > SEEDS / 4], `${moved} moved, ${blocked} blocked`).to.deep.equal([true, true]);
  });
});
