/** The pure rules of the CSI controller: parameters, names, capabilities, capacity. */
import { expect } from 'chai';
import fc from 'fast-check';
import { EXTENT_BYTES, shardBytes } from '../../../../core/extent.ts';
import type { VolumeCapability } from '../../../../edge/csi/generated/csi.ts';
import type { StorageNodeObject } from '../../../../operator/api.ts';
import { capabilityProblems, unsupported } from '../../../../operator/csi/capabilities.ts';
import { largestVolumeBytes } from '../../../../operator/csi/capacity.ts';
import { isNodeName, isObjectName, nameProblems, objectName } from '../../../../operator/csi/names.ts';
import { parseClass, parseMutable } from '../../../../operator/csi/parameters.ts';
import { STEP_BYTES } from '../../../../operator/csi/volumes.ts';
import { Ledger } from '../../../../operator/placement/ledger.ts';
import { placeShards } from '../../../../operator/placement/place.ts';
import { machine, pool, storageNode } from '../../../support/operator/builders.ts';

describe('operator/csi: parameters', () => {
  it('have defaults', () => {
    const { value } = parseClass({}, {});
    expect(value?.spec).to.deep.equal({
      replicas: 3,
      shards: 1,
      placement: { nodeSelector: {}, poolTags: [], zones: 'Prefer' },
      limits: { iops: 0, bytesPerSecond: 0 },
    });
  });

  it('name every problem, not only the first', () => {
    const { value, problems } = parseClass(
      { replicas: '0', shards: '65', zones: 'prefer', fsType: 'btrfs', iops: '-1', colour: 'red', 'csi.storage.k8s.io/pvc/name': 'x' },
      { bytesPerSecond: '1.5', shards: '2' },
    );
    expect(value).to.equal(null);
    for (const name of [
      'parameters.replicas',
      'parameters.shards',
      'parameters.zones',
      'parameters.fsType',
      'parameters.iops',
      'parameters.colour',
      'mutableParameters.bytesPerSecond',
      'mutableParameters.shards',
    ])
      expect(
        problems.filter((problem) => problem.startsWith(`${name}:`)),
        name,
      ).to.have.length(1);
    expect(problems).to.have.length(8);
  });

  it('of the attributes class win, and are held against all together', () => {
    expect(parseClass({ replicas: '5', iops: '10' }, { replicas: '2' }).value?.spec).to.deep.include({
      replicas: 2,
      limits: { iops: 10, bytesPerSecond: 0 },
    });
    expect(parseClass({ replicas: '3', minInSync: '3' }, { replicas: '2' }).problems).to.deep.equal([
      'parameters.minInSync: may not be more than replicas (is 3, replicas 2)',
    ]);
  });

  it('for nodes are passed on, empty ones are not', () =>
    expect(parseClass({ fsType: 'xfs', mkfsOptions: '-i size=1024', mountOptions: '' }, {}).value?.node).to.deep.equal({
      fsType: 'xfs',
      mkfsOptions: '-i size=1024',
    }));

  it('never throw, and are refused exactly when there is a problem', () => {
    const key = fc.oneof(
      fc.constantFrom('replicas', 'minInSync', 'shards', 'iops', 'zones', 'poolTags', 'fsType', 'constructor', '__proto__'),
      fc.string(),
    );
    const text = fc.oneof(fc.constantFrom('1', '3', '9', '10', '-0', '1e2', ' 1', '0x1', '9007199254740993', ''), fc.string());
    fc.assert(
      fc.property(fc.dictionary(key, text), fc.dictionary(key, text), (values, attributes) => {
        for (const { value, problems } of [parseClass(values, attributes), parseMutable(attributes)])
          if ((value === null) !== problems.length > 0) return false;
        const { value } = parseClass(values, attributes);
        return (
          value === null || (value.spec.replicas >= 1 && value.spec.replicas <= 9 && (value.spec.minInSync ?? 1) <= value.spec.replicas)
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe('operator/csi: names', () => {
  const requested = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 128 }),
    fc.stringMatching(/^[a-z0-9-]{1,70}$/),
    fc.stringMatching(/^csi-[a-f0-9]{32}$/),
  );

  it('fit Kubernetes and a file, the same for the same', () => {
    fc.assert(
      fc.property(requested, (name) => isObjectName(objectName(name)) && objectName(name) === objectName(Buffer.from(name).toString())),
      { numRuns: 300 },
    );
  });

  it('are never the same for two, not even where one asks for the digest of another', () => {
    fc.assert(
      fc.property(requested, requested, (one, other) => one === other || objectName(one) !== objectName(other)),
      { numRuns: 300 },
    );
    const digest = objectName('Not Fitting');
    expect(objectName(digest)).not.to.equal(digest);
  });

  it('are kept where they fit', () => {
    for (const name of ['a', 'pvc-1f0c', 'x'.repeat(63)]) expect(objectName(name)).to.equal(name);
    for (const name of ['x'.repeat(64), 'A', 'a.b', 'a-', 'a\n']) expect(objectName(name)).to.match(/^csi-[0-9a-f]{32}$/);
  });

  it('are counted in bytes', () => {
    expect(nameProblems('')).to.deep.equal(['name: must be given']);
    expect(nameProblems('ä'.repeat(64))).to.deep.equal([]);
    expect(nameProblems('ä'.repeat(65))).to.deep.equal(['name: may have at most 128 bytes (has 130)']);
  });

  it('of nodes may have dots, and are never another path', () => {
    for (const name of ['node-a', 'node-a.example.com']) expect(isNodeName(name), name).to.equal(true);
    for (const name of ['', '.', '..', 'a/b', 'A', 'x'.repeat(254)]) expect(isNodeName(name), name).to.equal(false);
  });
});

describe('operator/csi: capabilities', () => {
  const asked = (mode: string, fsType: string | null): VolumeCapability =>
    ({
      mount: fsType === null ? null : { fsType },
      block: fsType === null ? {} : null,
      accessMode: { mode },
    }) as unknown as VolumeCapability;

  for (const mode of ['SINGLE_NODE_WRITER', 'SINGLE_NODE_READER_ONLY', 'SINGLE_NODE_SINGLE_WRITER', 'SINGLE_NODE_MULTI_WRITER'])
    it(`${mode} can be had`, () => {
      for (const fsType of [null, '', 'ext4', 'xfs']) expect(unsupported(asked(mode, fsType))).to.equal(null);
    });
  for (const mode of ['UNKNOWN', 'MULTI_NODE_READER_ONLY', 'MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER'])
    it(`${mode} cannot`, () => expect(unsupported(asked(mode, null))).to.contain('access_mode'));
  it('nothing, no access type and a strange file system cannot', () => {
    expect(capabilityProblems([])).to.deep.equal(['volume_capabilities: must be given']);
    expect(
      capabilityProblems([
        null,
        asked('SINGLE_NODE_WRITER', 'btrfs'),
        { mount: null, block: null, accessMode: null } as unknown as VolumeCapability,
      ]),
    ).to.have.length(3);
  });
});

describe('operator/csi: capacity', () => {
  /** The same node as placement and as people see it. */
  const MIB = 2 ** 20;
  const rarely = fc.integer({ min: 0, max: 9 }).map((one) => one === 0);
  const aPool = fc.record({
    capacityBytes: fc.integer({ min: 0, max: 1_000 * MIB }),
    usedRatio: fc.double({ min: 0, max: 1, noNaN: true }),
    allocatedRatio: fc.double({ min: 0, max: 2.5, noNaN: true }),
    tagged: fc.boolean(),
    isReady: fc.boolean(),
  });
  const aNode = fc.record({
    zone: fc.constantFrom('', 'x', 'y', 'z'),
    spec: fc.record({ schedulable: rarely.map((not) => !not), maintenance: rarely, evict: rarely }),
    pools: fc.array(aPool, { minLength: 1, maxLength: 2 }),
  });
  const situation = fc.record({
    nodes: fc.array(aNode, { minLength: 1, maxLength: 6 }),
    replicas: fc.integer({ min: 1, max: 4 }),
    shards: fc.constantFrom(1, 1, 2, 3, 8),
    zones: fc.constantFrom('Require', 'Prefer', 'Ignore'),
    poolTags: fc.constantFrom<string[]>([], ['fast']),
    limits: fc.record({
      overProvisioningRatio: fc.constantFrom(1, 2),
      reserveRatio: fc.constantFrom(0, 0.05, 0.5),
      pressureRatio: fc.constantFrom(0.5, 0.85, 1),
    }),
  });

  it('is the largest that placement still finds a place for', () => {
    fc.assert(
      fc.property(situation, ({ nodes, replicas, shards, zones, poolTags, limits }) => {
        const told: StorageNodeObject[] = [];
        const placed = nodes.map(({ zone, spec, pools }, index) => {
          const both = pools.map(({ capacityBytes, usedRatio, allocatedRatio, tagged, isReady }, place) => {
            const name = `pool-${place}`;
            const tags = tagged ? ['fast'] : [];
            const usedBytes = Math.floor(capacityBytes * usedRatio);
            const allocatedBytes = Math.floor(capacityBytes * allocatedRatio);
            return {
              reported: pool({ name, tags, capacityBytes, usedBytes, allocatedBytes, state: isReady ? 'ready' : 'quarantined' }),
              seen: {
                name,
                tags,
                state: isReady ? 'Ready' : 'Quarantined',
                capacity: `${capacityBytes}`,
                used: `${usedBytes}`,
                allocated: `${allocatedBytes}`,
              },
            };
          });
          const letter = 'abcdef'[index] ?? '';
          const state = machine(letter, { zone, pools: both.map(({ reported }) => reported) });
          const object = storageNode(letter, spec);
          told.push({
            ...object,
            status: { zone, pools: both.map(({ seen }) => seen), conditions: [{ type: 'Ready', status: 'True' }] },
          } as unknown as StorageNodeObject);
          return { node: state.node, machine: state, spec: object.spec, labels: {} };
        });
        const rules = { nodeSelector: {}, poolTags, zones };
        const rest = { rules, taken: [], crowd: new Map(), preferred: null, avoided: new Map() };
        const fits = (sizeBytes: number): boolean => {
          const requests = Array.from({ length: shards }, (_, shard) => ({
            replicas,
            sizeBytes: shardBytes(sizeBytes, shards, shard),
            only: null,
          }));
          return placeShards(requests, rest, placed, new Ledger([]), limits).places !== null;
        };
        const largest = largestVolumeBytes(told, { replicas, shards, placement: rules }, limits);
        // Shards differ by an extent at most, and all are counted as the largest.
        const beyond = shards === 1 ? STEP_BYTES : STEP_BYTES + shards * EXTENT_BYTES;
        return largest % STEP_BYTES === 0 && (largest === 0 || fits(largest)) && !fits(largest + beyond);
      }),
      { numRuns: 300 },
    );
  });

  it('counts no node that is away, and never says more than a volume may have', () => {
    const node = (status: string): StorageNodeObject =>
      ({
        ...storageNode('a'),
        status: {
          pools: [{ name: 'default', state: 'Ready', capacity: '1Pi', used: '0', allocated: '0' }],
          conditions: [{ type: 'Ready', status }],
        },
      }) as unknown as StorageNodeObject;
    const asked = { replicas: 1, shards: 1, placement: { nodeSelector: {}, poolTags: [], zones: 'Prefer' as const } };
    const limits = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
    expect(largestVolumeBytes([node('Unknown')], asked, limits)).to.equal(0);
    expect(largestVolumeBytes([node('True')], asked, limits)).to.equal(16 * 2 ** 40);
    expect(largestVolumeBytes([node('True')], { ...asked, replicas: 2 }, limits)).to.equal(0);
    expect(largestVolumeBytes([node('True')], { ...asked, shards: 64 }, limits), 'shards may lie on one node').to.equal(16 * 2 ** 40);
  });
});
