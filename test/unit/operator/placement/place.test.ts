import { expect } from 'chai';
import fc from 'fast-check';
import type { MachineState } from '../../../../core/machine.ts';
import {
  freeBytes,
  fullness,
  nodeReason,
  type PlacementNode,
  type PlacementRequest,
  poolReason,
} from '../../../../operator/placement/checks.ts';
import { Ledger } from '../../../../operator/placement/ledger.ts';
import { asCandidate, compareCandidates, place } from '../../../../operator/placement/place.ts';
import { config, GiB, member, nodeOf, placementNode, pool } from '../../../support/operator/builders.ts';

const LIMITS = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
const request = (change: Partial<PlacementRequest> = {}, rules: Partial<PlacementRequest['rules']> = {}): PlacementRequest => ({
  replicas: 1,
  sizeBytes: GiB,
  rules: { nodeSelector: {}, poolTags: [], zones: 'Prefer', ...rules },
  taken: [],
  crowd: new Map(),
  only: null,
  preferred: null,
  avoided: new Map(),
  ...change,
});
const placed = (asked: PlacementRequest, nodes: PlacementNode[], ledger = new Ledger([])) => place(asked, nodes, ledger, LIMITS);
const nodesOf = (asked: PlacementRequest, nodes: PlacementNode[], ledger?: Ledger) =>
  placed(asked, nodes, ledger).places?.map(({ node }) => node);
const withPool = (letter: string, change: Parameters<typeof pool>[0]) => placementNode(letter, { pools: [pool(change)] });

describe('operator: placement, why not', () => {
  type Row = { situation: string; node: PlacementNode; asked?: PlacementRequest; reason: string; ledger?: Ledger };
  const rows: Row[] = [
    { situation: 'the agent is silent', node: placementNode('a', null), reason: 'its agent is not heard of' },
    {
      situation: 'people exclude it',
      node: placementNode('a', {}, { schedulable: false }),
      reason: 'excluded by spec.schedulable of its StorageNode',
    },
    { situation: 'it is in maintenance', node: placementNode('a', {}, { maintenance: true }), reason: 'in maintenance' },
    {
      situation: 'it is being emptied',
      node: placementNode('a', {}, { evict: true }),
      reason: 'its replicas shall leave (spec.evict of its StorageNode)',
    },
    {
      situation: 'a label is missing',
      node: placementNode('a'),
      asked: request({}, { nodeSelector: { disk: 'nvme' } }),
      reason: 'excluded by placement.nodeSelector disk=nvme',
    },
    {
      situation: 'it holds one already',
      node: placementNode('a'),
      asked: request({ taken: ['node-a'] }),
      reason: 'holds a replica of this volume already',
    },
    {
      situation: 'it failed a moment ago',
      node: placementNode('a'),
      asked: request({ avoided: new Map([['node-a', 'left alone']]) }),
      reason: 'left alone',
    },
    {
      situation: 'it has no zone and zones are required',
      node: placementNode('a'),
      asked: request({}, { zones: 'Require' }),
      reason: 'has no zone, and placement.zones is Require',
    },
    { situation: 'it has no pool', node: placementNode('a', { pools: [] }), reason: 'has no pool' },
    {
      situation: 'no pool has the tag',
      node: placementNode('a'),
      asked: request({}, { poolTags: ['fast'] }),
      reason: 'no pool with the tag fast (placement.poolTags)',
    },
    {
      situation: 'its pool is quarantined',
      node: withPool('a', { state: 'quarantined', reason: 'fdatasync failed' }),
      reason: 'pool default is quarantined: fdatasync failed',
    },
    { situation: 'its pool is full', node: withPool('a', { usedBytes: 97 * GiB }), reason: 'pool default is full: 97 % of it is used' },
    {
      situation: 'the pool is smaller than the replica',
      node: withPool('a', { capacityBytes: GiB }),
      reason: '972.7Mi free after reserve, 1Gi needed',
    },
    {
      situation: 'too much is promised',
      node: withPool('a', { allocatedBytes: 189.5 * GiB }),
      reason: '512Mi free after reserve, 1Gi needed',
    },
    {
      situation: 'too much was given away that the agent has not told yet',
      node: withPool('a', { capacityBytes: 10 * GiB }),
      asked: request({ sizeBytes: 9 * GiB }),
      ledger: new Ledger([config({ sizeBytes: 11 * GiB }, 'a')]),
      reason: '8Gi free after reserve, 9Gi needed',
    },
  ];
  for (const { situation, node, asked = request(), reason, ledger } of rows) {
    it(`says it when ${situation}`, () => {
      expect(placed(asked, [node], ledger).reasons).to.deep.equal([{ node: 'node-a', reason }]);
    });
  }

  it('shows, of several pools, the one that came nearest', () => {
    const pools = [
      pool({ name: 'slow', tags: ['hdd'] }),
      pool({ name: 'small', tags: ['fast'], capacityBytes: GiB }),
      pool({ name: 'broken', tags: ['fast'], state: 'quarantined', reason: 'x' }),
    ];
    const { reasons } = placed(request({}, { poolTags: ['fast'] }), [placementNode('a', { pools })]);
    expect(reasons?.[0]?.reason).to.equal('972.7Mi free after reserve, 1Gi needed');
  });

  it('says of every node why, also of those that could hold one', () => {
    const { places, reasons } = placed(request({ replicas: 3 }), [placementNode('c', null), placementNode('b'), placementNode('a')]);
    expect(places).to.equal(null);
    expect(reasons).to.deep.equal([
      { node: 'node-a', reason: 'could hold one, but 3 are needed and only 2 found' },
      { node: 'node-b', reason: 'could hold one, but 3 are needed and only 2 found' },
      { node: 'node-c', reason: 'its agent is not heard of' },
    ]);
  });

  it('reserves nothing when it finds too few', () => {
    const ledger = new Ledger([]);
    placed(request({ replicas: 3, sizeBytes: 90 * GiB }), [placementNode('a'), placementNode('b')], ledger);
    expect([ledger.allocatedBytes('node-a', 'default', 0), ledger.replicas('node-a')]).to.deep.equal([0, 0]);
  });
});

describe('operator: placement, where', () => {
  it('never puts two replicas on one node', () => {
    expect(
      nodesOf(
        request({ replicas: 3 }),
        [...'abc'].map((letter) => placementNode(letter)),
      ),
    ).to.have.members(['node-a', 'node-b', 'node-c']);
  });

  it('takes the emptier pool', () => {
    expect(nodesOf(request(), [withPool('a', { allocatedBytes: 50 * GiB * 2 }), withPool('b', {})])).to.deep.equal(['node-b']);
  });

  it('takes the node with fewer replicas where space is about equal', () => {
    const ledger = new Ledger([config({ sizeBytes: 4096 }, 'a')]);
    expect(nodesOf(request(), [placementNode('a'), placementNode('b')], ledger)).to.deep.equal(['node-b']);
  });

  it('spreads over zones before it looks at space', () => {
    const nodes = [
      placementNode('a', { zone: 'x' }),
      placementNode('b', { zone: 'x' }),
      placementNode('c', { zone: 'y', pools: [pool({ allocatedBytes: 120 * GiB })] }),
    ];
    expect(nodesOf(request({ replicas: 2 }), nodes)).to.deep.equal(['node-a', 'node-c']);
    expect(nodesOf(request({ replicas: 2 }, { zones: 'Ignore' }), nodes)).to.deep.equal(['node-a', 'node-b']);
  });

  it('puts each replica in a zone of its own where that is required, or none', () => {
    const nodes = [placementNode('a', { zone: 'x' }), placementNode('b', { zone: 'x' }), placementNode('c', { zone: 'y' })];
    expect(nodesOf(request({ replicas: 2 }, { zones: 'Require' }), nodes)).to.deep.equal(['node-a', 'node-c']);
    const { reasons } = placed(request({ replicas: 3 }, { zones: 'Require' }), nodes);
    expect(reasons?.find(({ node }) => node === 'node-b')?.reason).to.equal(
      'zone x holds a replica already, and placement.zones is Require',
    );
  });

  it('counts the zones of replicas that are there already', () => {
    const nodes = [placementNode('a', { zone: 'x' }), placementNode('b', { zone: 'x' }), placementNode('c', { zone: 'y' })];
    expect(nodesOf(request({ taken: ['node-a'] }), nodes)).to.deep.equal(['node-c']);
  });

  it('prefers the node where the volume is used', () => {
    expect(
      nodesOf(
        request({ preferred: 'node-c' }),
        [...'abc'].map((letter) => placementNode(letter)),
      ),
    ).to.deep.equal(['node-c']);
  });

  it('lets a StorageNode label count, over that of the agent', () => {
    const node = { ...placementNode('a'), labels: { disk: 'nvme' } };
    expect(nodesOf(request({}, { nodeSelector: { disk: 'nvme' } }), [node])).to.deep.equal(['node-a']);
  });

  it('gives the same answer whatever the order in which nodes are known', () => {
    const nodes = [...'abcde'].map((letter) => placementNode(letter));
    fc.assert(
      fc.property(fc.shuffledSubarray(nodes, { minLength: 5 }), (shuffled) => {
        expect(nodesOf(request({ replicas: 3 }), shuffled)).to.deep.equal(nodesOf(request({ replicas: 3 }), nodes));
      }),
    );
  });

  it('does not give the last space away twice within one pass', () => {
    const ledger = new Ledger([]);
    const node = withPool('a', { capacityBytes: 10 * GiB });
    const asked = request({ sizeBytes: 9 * GiB });
    expect([1, 2, 3].map(() => nodesOf(asked, [node], ledger))).to.deep.equal([['node-a'], ['node-a'], undefined]);
  });
});

/** Every way to choose places, tried out one after the other: slow, and plainly right. */
function existsPlacement(asked: PlacementRequest, nodes: PlacementNode[], ledger: Ledger): boolean {
  const fits = (node: PlacementNode): boolean => {
    const situation = { request: asked, limits: LIMITS, ledger, taken: new Set(asked.taken), zones: new Map() };
    const usable = node.machine?.pools.some((one) => poolReason(node.node, one, situation) === null) ?? false;
    return usable && nodeReason(node, situation) === null;
  };
  const usable = nodes.filter(fits);
  const zonesTaken = nodes.filter(({ node }) => asked.taken.includes(node)).map(({ machine }) => machine?.zone ?? '');
  const choose = (from: PlacementNode[], count: number, zones: string[]): boolean => {
    if (count === 0) return true;
    return from.some((node, index) => {
      const zone = node.machine?.zone ?? '';
      if (asked.rules.zones === 'Require' && zones.includes(zone)) return false;
      return choose(from.slice(index + 1), count - 1, [...zones, zone]);
    });
  };
  return choose(usable, asked.replicas, zonesTaken);
}

describe('operator: placement against its naive twin', () => {
  const letters = [...'abcdef'];
  const machineArbitrary = fc.record({
    zone: fc.constantFrom('', 'x', 'y', 'z'),
    labels: fc.constantFrom<Record<string, string>>({}, { disk: 'nvme' }),
    pools: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('one', 'two'),
        capacityBytes: fc.constantFrom(GiB, 4 * GiB, 10 * GiB),
        allocatedBytes: fc.integer({ min: 0, max: 20 }).map((share) => share * GiB),
        usedBytes: fc.constantFrom(0, 0, 10 * GiB),
        tags: fc.constantFrom<string[]>([], ['fast']),
        state: fc.constantFrom('ready' as const, 'ready' as const, 'quarantined' as const),
      }),
      { maxLength: 2, selector: ({ name }) => name },
    ),
  });
  const cluster = fc.array(fc.tuple(fc.option(machineArbitrary), fc.boolean()), { minLength: 1, maxLength: letters.length }).map((all) =>
    all.map(([state, schedulable], index) => {
      const letter = letters[index] ?? 'z';
      const change: Partial<MachineState> | null = state && { ...state, pools: state.pools.map((one) => pool(one)) };
      return placementNode(letter, change, { schedulable: schedulable || index % 2 === 0 });
    }),
  );
  const asking = fc
    .record({
      replicas: fc.integer({ min: 1, max: 4 }),
      sizeBytes: fc.constantFrom(GiB / 2, 2 * GiB, 8 * GiB),
      taken: fc.subarray(letters.map(nodeOf), { maxLength: 2 }),
      zones: fc.constantFrom('Require' as const, 'Prefer' as const, 'Ignore' as const),
      poolTags: fc.constantFrom<string[]>([], ['fast']),
      nodeSelector: fc.constantFrom<Record<string, string>>({}, { disk: 'nvme' }),
    })
    .map(({ zones, poolTags, nodeSelector, ...rest }) => request(rest, { zones, poolTags, nodeSelector }));

  it('finds places exactly when there are any, and they keep every rule', () => {
    fc.assert(
      fc.property(cluster, asking, (nodes, asked) => {
        const { places, reasons } = placed(asked, nodes);
        expect(places !== null).to.equal(existsPlacement(asked, nodes, new Ledger([])));
        expect(reasons?.length ?? nodes.length).to.equal(nodes.length);
        const chosen = places ?? [];
        expect(new Set([...asked.taken, ...chosen.map(({ node }) => node)]).size).to.equal(new Set(asked.taken).size + chosen.length);
        for (const { node, pool: name } of chosen) {
          const state = nodes.find((one) => one.node === node)?.machine;
          const report = state?.pools.find((one) => one.name === name && one.state === 'ready');
          expect(report, 'a pool that is there and ready').to.not.equal(undefined);
          if (report) expect(freeBytes(node, report, { limits: LIMITS, ledger: new Ledger([]) })).to.be.at.least(asked.sizeBytes);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('counts members that are leaving as space that is still taken', () => {
    const ledger = new Ledger([config({ shards: [{ members: [member('a', { leaving: true })], inSync: [] }] }, '')]);
    expect([ledger.replicas('node-a'), ledger.allocatedBytes('node-a', 'default', 0)]).to.deep.equal([1, GiB]);
  });
});

/** By looking at every pool. */
function bestOfAll(asked: PlacementRequest, nodes: readonly PlacementNode[], ledger: Ledger) {
  const zones = new Map<string, number>();
  for (const { node, machine } of nodes)
    if (machine && asked.taken.includes(node)) zones.set(machine.zone, (zones.get(machine.zone) ?? 0) + 1);
  const situation = { request: asked, limits: LIMITS, ledger, taken: new Set(asked.taken), zones };
  const [best] = nodes
    .flatMap((node) => (node.machine?.pools ?? []).map((each) => ({ node, pool: each, replicas: ledger.replicas(node.node) })))
    .filter(({ node, pool: each }) => nodeReason(node, situation) === null && poolReason(node.node, each, situation) === null)
    .map((one) => asCandidate({ ...one, fullness: fullness(one.node.node, one.pool, situation) }, situation))
    .sort(compareCandidates);
  return best ? [{ node: best.node.node, pool: best.pool.name }] : null;
}

describe('operator: the ranking', () => {
  it('finds what looking at every pool finds, however many places were given away before', () => {
    const nodeSets = fc.array(
      fc.record({
        tens: fc.integer({ min: 1, max: 5 }),
        zone: fc.constantFrom('', 'x', 'y', 'z'),
        pools: fc.integer({ min: 0, max: 2 }),
        isAway: fc.boolean(),
        used: fc.integer({ min: 0, max: 100 }),
      }),
      { minLength: 1, maxLength: 8 },
    );
    const requests = fc.array(
      fc.record({
        sizeGiB: fc.integer({ min: 1, max: 20 }),
        zones: fc.constantFrom('Require', 'Prefer', 'Ignore') as fc.Arbitrary<'Require' | 'Prefer' | 'Ignore'>,
        taken: fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 3 }),
        preferred: fc.option(fc.integer({ min: 0, max: 7 })),
        crowd: fc.array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 3 })), { maxLength: 8 }),
      }),
      { minLength: 1, maxLength: 12 },
    );
    const letter = (index: number): string => 'abcdefgh'[index] ?? 'a';
    fc.assert(
      fc.property(nodeSets, requests, (looks, asked) => {
        const nodes = looks.map(({ tens, zone, pools, isAway, used }, index) => {
          const capacityBytes = tens * 10 * GiB;
          const all = Array.from({ length: pools }, (_, at) =>
            pool({ name: `p${at}`, capacityBytes, usedBytes: (used / 100) * capacityBytes }),
          );
          return placementNode(letter(index), isAway && index > 0 ? null : { zone, pools: all });
        });
        const ledger = new Ledger([]);
        for (const { sizeGiB, zones, taken, preferred, crowd } of asked) {
          const one = request(
            {
              sizeBytes: sizeGiB * GiB,
              taken: taken.map((index) => nodeOf(letter(index))),
              preferred: preferred === null ? null : nodeOf(letter(preferred)),
              crowd: new Map(crowd.map(([index, count]) => [nodeOf(letter(index)), count])),
            },
            { zones },
          );
          const wanted = bestOfAll(one, nodes, ledger);
          expect(place(one, nodes, ledger, LIMITS).places).to.deep.equal(wanted);
        }
      }),
      { numRuns: 500 },
    );
  });
});
