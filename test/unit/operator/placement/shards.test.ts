/** Where the shards of a volume go: each for itself, and all of them together or none. */
import { expect } from 'chai';
import fc from 'fast-check';
import { NODES_MAX, type PlacementNode, type PlacementRequest } from '../../../../operator/placement/checks.ts';
import { Ledger } from '../../../../operator/placement/ledger.ts';
import { place, placeShards, type ShardRequest } from '../../../../operator/placement/place.ts';
import { config, GiB, member, placementNode, pool } from '../../../support/operator/builders.ts';

const LIMITS = { overProvisioningRatio: 1, reserveRatio: 0, pressureRatio: 1 };
const REST: Omit<PlacementRequest, keyof ShardRequest> = {
  rules: { nodeSelector: {}, poolTags: [], zones: 'Prefer' },
  taken: [],
  crowd: new Map(),
  preferred: null,
  avoided: new Map(),
};
const shardsOf = (count: number, replicas: number, sizeBytes = GiB): ShardRequest[] =>
  Array.from({ length: count }, () => ({ replicas, sizeBytes, only: null }));
/** `3` takes three replicas of 1 GiB. */
const nodesOf = (rooms: readonly number[], zones: readonly string[] = []): PlacementNode[] =>
  rooms.map((room, index) =>
    placementNode(String.fromCharCode(97 + index), { pools: [pool({ capacityBytes: room * GiB })], zone: zones[index] ?? '' }),
  );
const countsOf = (places: readonly (readonly { node: string }[])[]): number[] =>
  [...Map.groupBy(places.flat(), ({ node }) => node).values()].map((ones) => ones.length);

describe('operator: placement of shards', () => {
  it('spreads them over all nodes, two of one shard never on one', () => {
    const { places } = placeShards(shardsOf(10, 3), REST, nodesOf([50, 50, 50, 50, 50]), new Ledger([]), LIMITS);
    expect(countsOf(places ?? [])).to.deep.equal([6, 6, 6, 6, 6]);
    for (const shard of places ?? []) expect(new Set(shard.map(({ node }) => node)).size).to.equal(3);
  });

  it('makes a volume that is larger than any node', () => {
    expect(placeShards(shardsOf(1, 1, 30 * GiB), REST, nodesOf([20, 20]), new Ledger([]), LIMITS).places).to.equal(null);
    expect(placeShards(shardsOf(2, 1, 15 * GiB), REST, nodesOf([20, 20]), new Ledger([]), LIMITS).places).to.have.length(2);
  });

  it('goes by room where the best places lead nowhere', () => {
    // Nodes that look better by their free share take what the other shards need.
    const nodes = nodesOf([4, 1, 1, 1, 1]);
    const { places } = placeShards(shardsOf(4, 2), REST, nodes, new Ledger([]), LIMITS);
    expect(places).to.have.length(4);
  });

  it('goes by room that is promised twice over, too, not by what a pool holds of one', () => {
    // 7, 3 and 6 replicas: exactly as many as there are. By what each pool could hold of one, the first and the last look alike for too long.
    const nodes = nodesOf([3.5, 1.5, 3], ['', '', 'y']);
    const { places } = placeShards(shardsOf(8, 2), REST, nodes, new Ledger([]), { ...LIMITS, overProvisioningRatio: 2 });
    expect(countsOf(places ?? []).sort()).to.deep.equal([3, 6, 7]);
  });

  it('takes back what it reserved when one of them fits nowhere, and says which and why', () => {
    const ledger = new Ledger([]);
    const found = placeShards(shardsOf(3, 2), REST, nodesOf([2, 2]), ledger, LIMITS);
    expect(found.places).to.equal(null);
    expect(found.reasons).to.deep.equal([
      { node: 'node-a', reason: '0 free after reserve, 1Gi needed' },
      { node: 'node-b', reason: '0 free after reserve, 1Gi needed' },
    ]);
    expect(found.places === null && found.shard).to.equal(2);
    expect([ledger.allocatedBytes('node-a', 'default', 0), ledger.replicas('node-a')]).to.deep.equal([0, 0]);
  });

  it('only where it is told', () => {
    const only = { places: [{ node: 'node-b', pool: 'default' }], reason: 'does not hold it' };
    const request = { ...REST, replicas: 1, sizeBytes: GiB, only };
    expect(place(request, nodesOf([9, 9]), new Ledger([]), LIMITS).places).to.deep.equal([{ node: 'node-b', pool: 'default' }]);
    expect(place({ ...request, replicas: 2 }, nodesOf([9, 9]), new Ledger([]), LIMITS).reasons?.[0]).to.deep.equal({
      node: 'node-a',
      reason: 'does not hold it',
    });
    const elsewhere = { ...only, places: [{ node: 'node-b', pool: 'fast' }] };
    expect(place({ ...request, only: elsewhere }, nodesOf([9, 9]), new Ledger([]), LIMITS).places).to.equal(null);
  });

  it('never concerns more nodes than a transaction can tell', () => {
    const nodes = Array.from({ length: NODES_MAX + 5 }, (_, index) => placementNode(`n${String(index).padStart(3, '0')}`));
    const { places } = placeShards(shardsOf(64, 4), REST, nodes, new Ledger([]), { ...LIMITS, overProvisioningRatio: 100 });
    expect(countsOf(places ?? []).length).to.be.at.most(NODES_MAX + 3);
  });

  it('counts each replica as large as its shard', () => {
    const shards = [0, 1].map((index) => ({ members: [member(`a${index}`, { node: 'node-a' })], inSync: [] }));
    const ledger = new Ledger([config({ sizeBytes: GiB + 4096, shards })]);
    expect(ledger.allocatedBytes('node-a', 'default', 0)).to.equal(GiB + 4096);
    const one = new Ledger([
      config({ sizeBytes: GiB + 4096, shards: shards.map((shard, index) => (index === 0 ? shard : { ...shard, members: [] })) }),
    ]);
    expect(one.allocatedBytes('node-a', 'default', 0)).to.equal(GiB / 2 + 4096);
  });

  /** All ways to choose so many nodes with room, each of another zone (where it has one). */
  function* choices(rooms: readonly number[], zones: readonly string[], replicas: number, from = 0): Generator<number[]> {
    if (replicas === 0) yield [];
    else {
      for (let index = from; index < rooms.length; index++) {
        if ((rooms[index] ?? 0) < 1) continue;
        const others = rooms.map((room, at) => (zones[index] && zones[at] === zones[index] ? 0 : room));
        for (const rest of choices(others, zones, replicas - 1, index + 1)) yield [index, ...rest];
      }
    }
  }

  /** One way after the other: slow, and surely right. */
  function isPossible(rooms: readonly number[], zones: readonly string[], shards: number, replicas: number): boolean {
    if (shards === 0) return true;
    return [...choices(rooms, zones, replicas)].some((chosen) => {
      const left = rooms.map((room, index) => (chosen.includes(index) ? room - 1 : room));
      return isPossible(left, zones, shards - 1, replicas);
    });
  }

  for (const zoned of [false, true]) {
    it(`finds places whenever there are any${zoned ? ', each in a zone of its own' : ''}`, () => {
      const rooms = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 });
      const zones = fc.array(fc.constantFrom('z1', 'z2', 'z3'), { minLength: 5, maxLength: 5 });
      const property = fc.property(
        rooms,
        zones,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (room, zone, shards, replicas) => {
          const rules = { ...REST.rules, zones: zoned ? ('Require' as const) : ('Ignore' as const) };
          const nodes = nodesOf(room, zone).filter(({ machine }) => (machine?.pools[0]?.capacityBytes ?? 0) > 0);
          const { places } = placeShards(shardsOf(shards, replicas), { ...REST, rules }, nodes, new Ledger([]), LIMITS);
          expect(places !== null).to.equal(isPossible(room, zoned ? zone : [], shards, replicas));
        },
      );
      fc.assert(property, { numRuns: 400 });
    });
  }
});
