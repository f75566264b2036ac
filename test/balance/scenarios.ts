/**
 * Clusters that grow, shrink and lose machines, and how many bytes the operator had copied for it, beside the fewest with which anybody could have made
 * them even again (or whole again). Each begins from a cluster that placement has filled.
 */
import { SPREAD_BEGIN, SPREAD_END, widestSpread } from '../../operator/balance/balance.ts';
import type { PoolLoad } from '../../operator/balance/loads.ts';
import { GiB } from '../support/operator/builders.ts';
import type { NodeLook } from '../support/operator/fullWorld.ts';
import { BalanceCluster } from './cluster.ts';

export type Size = { nodes: number; volumes: number };
export type Result = {
  name: string;
  size: Size;
  copiedBytes: number;
  boundBytes: number;
  /** The farthest pool from the mean at the end. */
  spread: number;
  /** Replicas that were made for an event and went again for the same. */
  undone: number;
};
/** What may be copied beside what has to be: replicas are not sand. */
export const RATIO_MAX = 1.3;
export const ratioOf = ({ copiedBytes, boundBytes }: Result): number => (copiedBytes === 0 ? 1 : copiedBytes / boundBytes);
export const isGood = (result: Result): boolean => ratioOf(result) <= RATIO_MAX && result.spread <= SPREAD_BEGIN && result.undone === 0;

export type Scenario = { name: string; run: (size: Size, seed: number) => Result };

const meanOf = (loads: readonly PoolLoad[]): number =>
  loads.reduce((sum, { promisedBytes }) => sum + promisedBytes, 0) / loads.reduce((sum, { usableBytes }) => sum + usableBytes, 0);

/**
 * Whoever wants every pool within SPREAD_END of the mean has to bring at least so much away from those above, and at least so much to those below: water finds its
 * level with no less. Nothing, where nothing has to be begun.
 */
export function leastBytes(loads: readonly PoolLoad[]): number {
  if (widestSpread(loads) <= SPREAD_BEGIN) return 0;
  const mean = meanOf(loads);
  const excess = loads.map(({ promisedBytes, usableBytes }) => Math.max(0, promisedBytes - (mean + SPREAD_END) * usableBytes));
  const deficit = loads.map(({ promisedBytes, usableBytes }) => Math.max(0, (mean - SPREAD_END) * usableBytes - promisedBytes));
  const sum = (bytes: readonly number[]): number => bytes.reduce((total, one) => total + one, 0);
  return Math.max(sum(excess), sum(deficit));
}

const CAPACITY_BYTES = 1_000 * GiB;
const REPLICAS = 3;
/** Of what may be filled, by volumes of 1 to 2 times the least size. */
const FILL = 0.5;

const look = (index: number, change: Partial<NodeLook> = {}): NodeLook => ({
  node: `node-${index}`,
  capacityBytes: CAPACITY_BYTES,
  ...change,
});

const inZone = (index: number, change: Partial<NodeLook> = {}): NodeLook => look(index, { zone: `zone-${index % 3}`, ...change });

type Layout = { lookOf?: (index: number) => NodeLook; areAlike?: boolean };

function filled({ nodes, volumes }: Size, seed: number, { lookOf = look, areAlike = false }: Layout): BalanceCluster {
  const cluster = new BalanceCluster(seed);
  for (let index = 0; index < nodes; index++) cluster.addNode(lookOf(index));
  const meanBytes = (nodes * CAPACITY_BYTES * FILL) / volumes / REPLICAS;
  for (let index = 0; index < volumes; index++) {
    const bytes = Math.max(GiB, Math.round(((meanBytes * 2) / 3) * (1 + (areAlike ? 0.5 : cluster.random.unit()))));
    cluster.addVolume(Math.floor(bytes / 4096) * 4096, REPLICAS);
  }
  cluster.settle();
  return cluster;
}

type Events = (cluster: BalanceCluster, event: (change: () => number) => void, size: Size) => void;

/** `change` makes something happen and says what that costs at least; after each, the cluster comes to rest. */
const scenario = (name: string, events: Events, layout: Layout = {}): Scenario => ({
  name,
  run: (size, seed) => {
    const cluster = filled(size, seed, layout);
    const before = cluster.copiedBytes;
    let boundBytes = 0;
    let undone = 0;
    events(
      cluster,
      (change) => {
        cluster.begin();
        boundBytes += change();
        cluster.settle();
        undone += cluster.undone;
      },
      size,
    );
    return { name, size, copiedBytes: cluster.copiedBytes - before, boundBytes, spread: widestSpread(cluster.loads()), undone };
  },
});

const added = (cluster: BalanceCluster, ...looks: NodeLook[]): number => {
  for (const one of looks) cluster.addNode(one);
  return leastBytes(cluster.loads());
};

function lost(cluster: BalanceCluster, node: string): number {
  const bytes = cluster.bytesOn(node);
  cluster.loseNode(node);
  return bytes;
}

/** Each zone has to hold one replica of every volume: nothing is gained across zones. */
const zoned = (index: number): NodeLook => inZone(index);
function zonesFilled(cluster: BalanceCluster, event: (change: () => number) => void, nodes: number): void {
  const first = Math.ceil(nodes / 3) * 3;
  for (let index = nodes; index < first; index++) event(() => added(cluster, inZone(index)));
  event(() => added(cluster, ...[0, 1, 2].map((count) => inZone(first + count))));
}

/** Enough that a quarter of what is promised, the part that is filled, has to go till it is well below the threshold. */
function fillUp(cluster: BalanceCluster, node: string): number {
  const known = cluster.nodes.get(node);
  if (known) cluster.nodes.set(node, { ...known, used: 0.75 });
  const usedBytes = 0.75 * CAPACITY_BYTES + cluster.bytesOn(node) / 4;
  return usedBytes > 0.85 * CAPACITY_BYTES ? (usedBytes - 0.8 * CAPACITY_BYTES) * 4 : 0;
}

export const SCENARIOS: readonly Scenario[] = [
  scenario('a machine is added', (cluster, event, { nodes }) => event(() => added(cluster, look(nodes)))),
  scenario('a tenth more machines, one by one', (cluster, event, { nodes }) => {
    for (let count = 0; count < Math.max(1, nodes / 10); count++) event(() => added(cluster, look(nodes + count)));
  }),
  scenario('three at once, of twice the size', (cluster, event, { nodes }) =>
    event(() => added(cluster, ...[0, 1, 2].map((count) => look(nodes + count, { capacityBytes: 2 * CAPACITY_BYTES })))),
  ),
  scenario('a machine is lost', (cluster, event) => event(() => lost(cluster, 'node-1'))),
  scenario('lost, then another comes for it', (cluster, event, { nodes }) => {
    event(() => lost(cluster, 'node-1'));
    event(() => {
      cluster.forgetNode('node-1');
      return added(cluster, look(nodes));
    });
  }),
  scenario('added and lost in turn, three times', (cluster, event, { nodes }) => {
    for (let round = 0; round < 3; round++) {
      event(() => added(cluster, look(nodes + round)));
      event(() => lost(cluster, `node-${round}`));
      event(() => {
        cluster.forgetNode(`node-${round}`);
        return leastBytes(cluster.loads());
      });
    }
  }),
  scenario('all volumes of two machines are deleted', (cluster, event) =>
    event(() => {
      const isNear = ({ node }: { node: string }): boolean => node === 'node-0' || node === 'node-1';
      const near = [...cluster.volumes.values()].filter(({ config }) => config?.value.shards[0]?.members.some(isNear));
      for (const { uid } of near) cluster.deleteVolume(uid);
      return leastBytes(cluster.loads());
    }),
  ),
  scenario('a machine is added to each of three zones', (cluster, event, { nodes }) => zonesFilled(cluster, event, nodes), {
    lookOf: zoned,
  }),
  // Whose copies end together.
  scenario('a machine is added where all volumes are alike', (cluster, event, { nodes }) => event(() => added(cluster, look(nodes))), {
    areAlike: true,
  }),
  scenario("others fill a machine's file system", (cluster, event) => event(() => fillUp(cluster, 'node-1'))),
];
