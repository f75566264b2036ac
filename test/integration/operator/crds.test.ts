/** Every rule of the API, each with the sentence that it is refused with, by the real API server. */
import { expect } from 'chai';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';

const manifest = (kind: string, name: string, spec: unknown): string =>
  JSON.stringify({ apiVersion: 'holdfast.dev/v1alpha1', kind, metadata: { name }, spec });

describe('operator: the API', function () {
  this.timeout(60_000);
  let real: RealCluster;
  const kubectl = (words: string[], input?: string): Promise<string> =>
    real.cluster.kubectl(words, input).then(
      (output) => output.trim(),
      (error: Error) => error.message,
    );
  const create = (spec: unknown, name = 'refused', kind = 'Volume') => kubectl(['create', '-f', '-'], manifest(kind, name, spec));

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 0 });
    await create({ size: '10Gi' }, 'kept');
    await create({ size: '10Gi', source: { volume: 'kept' } }, 'cloned');
    await create({ volume: 'kept' }, 'nightly', 'Snapshot');
  });
  after(async () => real?.stop());

  const refused: [says: string, spec: object, sentence: string][] = [
    ['no size', {}, 'spec.size: Required value'],
    ['size 0', { size: '0' }, 'spec.size: Invalid value: "0": must be more than 0 (is 0)'],
    ['size 0 as a number', { size: 0 }, 'spec.size: Invalid value: 0: must be more than 0 (is 0)'],
    ['a negative size', { size: '-1Gi' }, 'spec.size: Invalid value: "-1Gi": must be more than 0 (is -1Gi)'],
    ['a size beyond every file', { size: '17Ti' }, 'spec.size: Invalid value: "17Ti": may be at most 16Ti (is 17Ti)'],
    ['a size that is none', { size: 'large' }, 'spec.size: Invalid value: "large": must be a quantity like 10Gi or 500G (is large)'],
    ['a size that is a map', { size: {} }, 'must be of type integer,string'],
    ['no replica', { size: '1Gi', replicas: 0 }, 'spec.replicas: Invalid value: 0: must be at least 1'],
    ['negative replicas', { size: '1Gi', replicas: -1 }, 'spec.replicas: Invalid value: -1: must be at least 1'],
    [
      'too many replicas',
      { size: '1Gi', replicas: 10 },
      'spec.replicas: Invalid value: 10: may be at most 9: every write waits for every replica',
    ],
    ['minInSync 0', { size: '1Gi', minInSync: 0 }, 'spec.minInSync: Invalid value: 0: must be at least 1'],
    [
      'minInSync above the replicas',
      { size: '1Gi', replicas: 2, minInSync: 3 },
      'spec.minInSync: Invalid value: may not be more than spec.replicas',
    ],
    [
      'minInSync above the default replicas',
      { size: '1Gi', minInSync: 4 },
      'spec.minInSync: Invalid value: may not be more than spec.replicas',
    ],
    ['no shards', { size: '1Gi', shards: 0 }, 'spec.shards: Invalid value: 0: must be at least 1'],
    ['too many shards', { size: '1Gi', shards: 65 }, 'spec.shards: Invalid value: 65: may be at most 64'],
    [
      'too many replicas in all',
      { size: '1Gi', shards: 64, replicas: 5 },
      'spec.shards: Invalid value: may be at most 256 together: spec.shards x spec.replicas',
    ],
    [
      'a size too small for its shards',
      { size: '3Mi', shards: 4 },
      'spec.size: Invalid value: must be at least 1Mi for each of spec.shards',
    ],
    ['negative limits', { size: '1Gi', limits: { iops: -1 } }, 'spec.limits.iops: Invalid value: -1: may not be negative; 0 is no limit'],
    ['an empty source', { size: '1Gi', source: {} }, 'must name exactly one of snapshot and volume'],
    ['two sources', { size: '1Gi', source: { snapshot: 'a', volume: 'b' } }, 'must name exactly one of snapshot and volume'],
    ['an unknown zone rule', { size: '1Gi', placement: { zones: 'Maybe' } }, 'supported values: "Require", "Prefer", "Ignore"'],
    [
      'a node that is none',
      { size: '1Gi', attachTo: 'Node A' },
      'spec.attachTo: Invalid value: "Node A": must be the name of a node, or empty (is Node A)',
    ],
    ['an unknown field', { size: '1Gi', color: 'red' }, 'strict decoding error: unknown field "spec.color"'],
    ['an unknown field further down', { size: '1Gi', placement: { rack: 'r1' } }, 'unknown field "spec.placement.rack"'],
  ];
  for (const [says, spec, sentence] of refused) {
    it(`refuses ${says}`, async () => expect(await create(spec)).to.include(sentence));
  }

  it('refuses names that are too long for a socket', async () => {
    expect(await create({ size: '1Gi' }, 'x'.repeat(64))).to.include(
      'metadata.name: may have at most 63 characters, it also names the socket file on the node',
    );
    expect(await create({ size: '1Gi' }, 'x'.repeat(63))).to.match(/created$/);
  });

  const changes: [says: string, name: string, patch: object, sentence: string][] = [
    ['shrinking', 'kept', { spec: { size: '5Gi' } }, 'spec.size: Invalid value: "5Gi": may not shrink (is 10Gi, asked 5Gi)'],
    ['shrinking by other words', 'kept', { spec: { size: '10G' } }, 'may not shrink (is 10Gi, asked 10G)'],
    ['a source given afterwards', 'kept', { spec: { source: { volume: 'x' } } }, 'spec.source: may not change after the volume was made'],
    ['another source', 'cloned', { spec: { source: { volume: 'x' } } }, 'spec.source: may not change after the volume was made'],
    ['no source any more', 'cloned', { spec: { source: null } }, 'spec.source: may not change after the volume was made'],
    ['other shards', 'kept', { spec: { shards: 2 } }, 'spec.shards: Invalid value: 2: may not change: the bytes lie striped over them'],
    [
      'fewer replicas than minInSync',
      'kept',
      { spec: { minInSync: 3, replicas: 2 } },
      'spec.minInSync: Invalid value: may not be more than spec.replicas',
    ],
  ];
  for (const [says, name, patch, sentence] of changes) {
    it(`refuses ${says}`, async () =>
      expect(await kubectl(['patch', 'hv', name, '--type=merge', '-p', JSON.stringify(patch)])).to.include(sentence));
  }

  it('refuses to point a snapshot at another volume', async () => {
    const patch = JSON.stringify({ spec: { volume: 'other' } });
    expect(await kubectl(['patch', 'hs', 'nightly', '--type=merge', '-p', patch])).to.include(
      'spec.volume: Invalid value: "other": may not change (is kept, asked other)',
    );
  });

  it('fills in what people leave out, and takes the same size in other words', async () => {
    const { spec } = (await real.volume('kept')) ?? {};
    expect(spec).to.deep.equal({
      size: '10Gi',
      replicas: 3,
      shards: 1,
      placement: { nodeSelector: {}, poolTags: [], zones: 'Prefer' },
      limits: { iops: 0, bytesPerSecond: 0 },
    });
    expect(await kubectl(['patch', 'hv', 'kept', '--type=merge', '-p', '{"spec":{"size":"10240Mi"}}'])).to.match(/patched/);
    expect(await kubectl(['patch', 'hv', 'kept', '--type=merge', '-p', '{"spec":{"size":21474836480}}'])).to.match(/patched$/);
  });

  it('takes sizes that are just large enough for their shards, in any words', async () => {
    expect(await create({ size: '4Mi', shards: 4 }, 'striped')).to.match(/created$/);
    expect(await create({ size: 67_108_864, shards: 64 }, 'wide')).to.match(/created$/);
    expect(await create({ size: '10737418240500m', shards: 2 }, 'odd')).to.match(/created$/);
  });

  it('drops an unknown field where a client asks for no validation: no rule can see it', async () => {
    await kubectl(['create', '--validate=false', '-f', '-'], manifest('Volume', 'lax', { size: '1Gi', color: 'red' }));
    expect((await real.volume('lax'))?.spec).to.not.have.property('color');
  });

  it('keeps the status from people, and the spec from who writes the status', async () => {
    await kubectl(['patch', 'hv', 'kept', '--type=merge', '-p', '{"status":{"phase":"Healthy"}}']);
    expect((await real.volume('kept'))?.status).to.equal(undefined);
    await kubectl([
      'patch',
      'hv',
      'kept',
      '--subresource=status',
      '--type=merge',
      '-p',
      '{"status":{"phase":"Healthy"},"spec":{"replicas":1}}',
    ]);
    const volume = await real.volume('kept');
    expect([volume?.status?.phase, volume?.spec.replicas]).to.deep.equal(['Healthy', 3]);
  });

  it('explains its fields', async () => {
    expect(await kubectl(['explain', 'hv.spec.minInSync'])).to.include('With fewer replicas in sync than this, writes wait.');
    expect(await kubectl(['explain', 'hn.spec.maintenance'])).to.include('down on purpose');
  });

  it('shows the columns that people compare', async () => {
    expect((await kubectl(['get', 'hv'])).split('\n')[0]?.trim().split(/\s+/)).to.deep.equal([
      'NAME',
      'SIZE',
      'IN-SYNC',
      'PHASE',
      'ATTACHED',
      'AGE',
    ]);
    await create({}, 'node-z', 'StorageNode');
    expect((await kubectl(['get', 'hn'])).split('\n')[0]?.trim().split(/\s+/)).to.deep.equal([
      'NAME',
      'READY',
      'SCHEDULABLE',
      'REPLICAS',
      'USED',
      'CAPACITY',
      'ZONE',
      'AGE',
    ]);
    expect((await kubectl(['get', 'hs'])).split('\n')[0]?.trim().split(/\s+/)).to.deep.equal([
      'NAME',
      'VOLUME',
      'SIZE',
      'READY',
      'PHASE',
      'AGE',
    ]);
  });
});
