/**
 * Which replica of a shard leaves first when there are more than asked for. A pure function of what is there now, asked by those who plan moves and by the rule that
 * takes the surplus away: both must always name the same one, or a move would be undone by the next.
 */
import type { Member, Shard } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { VolumeObject } from '../api.ts';
import { nodeNamed, poolOf, promisedShare, relievedShare } from '../placement/checks.ts';
import type { PlacedVolume, World } from '../volume/decision.ts';
import { failureOf, isInSync, quarantineOf, staying } from '../volume/shards.ts';

/** `ledger`: how much is promised, now or as it will be. */
export type Surroundings = Pick<World, 'machines' | 'nodes' | 'limits'> & { ledger: Pick<World['ledger'], 'promisedBytes'> };

/** Where its clients are, now or soon: their reads are local. A primary without a socket is nobody's, and lies on another node the next time. */
export function usedNode({ object, config }: PlacedVolume): NodeName | null {
  const { primary } = config.value;
  return object.spec.attachTo || (primary?.mode === 'serve' ? primary.node : null);
}

/** Ordered: the first that tells two replicas apart decides. The larger leaves first. */
type Rank = readonly number[];

function rankOf(member: Member, shard: Shard, volume: VolumeObject, used: NodeName | null, around: Surroundings): Rank {
  const { machines, nodes, limits, ledger } = around;
  const machine = machines.get(member.node);
  const pool = poolOf(machine, member.pool);
  const isEvicted = nodeNamed(nodes, member.node)?.spec?.evict ?? false;
  const inZone = staying(shard).filter(({ node }) => (machines.get(node)?.zone ?? '') === (machine?.zone ?? '')).length;
  return [
    Number(!isInSync(shard, member)),
    Number(machine === undefined),
    Number(failureOf(member, around) !== null),
    Number(isEvicted || quarantineOf(member, around) !== null),
    volume.spec.placement.zones === 'Ignore' ? 0 : inZone,
    Number(pool !== null && pool.usedBytes > pool.capacityBytes * relievedShare(limits)),
    Number(member.node !== used),
    pool === null ? 0 : promisedShare(member.node, pool, { limits, ledger }),
  ];
}

function compareRanks(a: Rank, b: Rank): number {
  const index = a.findIndex((value, at) => value !== b[at]);
  return index === -1 ? 0 : (b[index] ?? 0) - (a[index] ?? 0);
}

/** Those that stay, whoever leaves first before the others. `used`: the node where the volume is served, whose reads are local. */
export function byLeaving(shard: Shard, volume: VolumeObject, used: NodeName | null, around: Surroundings): Member[] {
  return staying(shard)
    .map((member, order) => ({ member, order, rank: rankOf(member, shard, volume, used, around) }))
    .sort((a, b) => compareRanks(a.rank, b.rank) || b.order - a.order)
    .map(({ member }) => member);
}
