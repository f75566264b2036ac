/** The CSI controller on an API server in memory, in which a leader does at once what is asked. */
import { expect } from 'chai';
import { OperatingError } from '../../../../core/errors.ts';
import { silentLog } from '../../../../core/log.ts';
import { CsiError } from '../../../../edge/csi/codes.ts';
import type { ControllerService } from '../../../../edge/csi/generated/csi.ts';
import type { KubeObject, VolumeObject } from '../../../../operator/api.ts';
import { controllerService } from '../../../../operator/csi/controller.ts';
import type { Call, CsiKube, CsiPorts } from '../../../../operator/csi/ports.ts';
import { Waiting } from '../../../../operator/csi/waiting.ts';
import { Gone } from '../../../../operator/ports.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { storageNode } from '../../../support/operator/builders.ts';

const ending = new AbortController();
const CALL: Call = { trace: { traceId: 'f'.repeat(32), parentId: '1'.repeat(16), sampled: false }, log: silentLog, signal: ending.signal };
const MIB = 2 ** 20;

class World {
  readonly objects = new Map<string, KubeObject>();
  readonly volumes = new Map<string, VolumeObject>();
  conflicts = 0;
  replaced = 0;
  created = 0;
  tokens: string[] = [];
  #version = 0;

  readonly kube: CsiKube = {
    get: async <Object extends KubeObject>(path: string) => (structuredClone(this.objects.get(path)) as Object | undefined) ?? null,
    create: async <Object extends KubeObject>(path: string, body: Object) => {
      const at = `${path}/${body.metadata.name}`;
      if (this.objects.has(at)) throw new OperatingError('Conflict', path, 'it exists');
      this.created++;
      return this.#store(at, { ...body, metadata: { ...body.metadata, uid: `uid-${this.#version}`, generation: 1 } });
    },
    replace: async <Object extends KubeObject>(path: string, body: Object) => {
      this.replaced++;
      if (this.conflicts-- > 0 || this.objects.get(path)?.metadata.resourceVersion !== body.metadata.resourceVersion)
        throw new OperatingError('Conflict', path, 'somebody was faster');
      return this.#store(path, { ...body, metadata: { ...body.metadata, generation: (body.metadata.generation ?? 0) + 1 } });
    },
    remove: async (path) => {
      this.objects.delete(path);
      this.volumes.delete(path.split('/').at(-1) ?? '');
    },
    page: async (_path, _limit, token) => {
      this.tokens.push(token);
      if (token === 'old') throw new Gone('too old');
      return { items: [...this.volumes.values()] as never[], next: 'more' };
    },
  };

  #store<Object extends KubeObject>(path: string, object: Object): Object {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: `${++this.#version}` } };
    const { spec, metadata } = stored as unknown as VolumeObject;
    const attachment = spec.attachTo ? { attachment: { node: spec.attachTo } } : {};
    const status = { phase: 'Ready', size: spec.size, observedGeneration: metadata.generation, conditions: [], ...attachment };
    const seen = { ...stored, status } as unknown as VolumeObject;
    this.objects.set(path, seen as unknown as KubeObject);
    this.volumes.set(metadata.name, seen);
    return structuredClone(stored);
  }

  /** Somebody writes over an annotation. */
  annotate(name: string, annotations: Record<string, string>): void {
    const volume = this.volumes.get(name);
    if (volume) volume.metadata.annotations = { ...volume.metadata.annotations, ...annotations };
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error === null ? 'OK' : error instanceof CsiError || error instanceof OperatingError ? error.code : String(error);
}

describe('operator/csi: the controller', () => {
  let world: World;
  let service: ControllerService<Call>;
  beforeEach(() => {
    world = new World();
    for (const letter of 'ab') world.objects.set(`/apis/holdfast.dev/v1alpha1/storagenodes/node-${letter}`, storageNode(letter));
    const view = { isCurrent: true, accept: () => undefined, close: () => undefined };
    const ports = {
      kube: world.kube,
      clock: new ManualClock(),
      waiting: new Waiting({ sleep: async () => undefined }),
      views: {
        volumes: { ...view, resource: 'volumes', objects: world.volumes },
        snapshots: { ...view, objects: new Map() },
        storagenodes: { ...view, objects: new Map() },
      },
      limits: { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 },
    } as unknown as CsiPorts;
    service = controllerService(ports) as ControllerService<Call>;
  });

  const capability = { block: {}, mount: null, accessMode: { mode: 'SINGLE_NODE_WRITER' } };
  const create = (requiredBytes = 10 * MIB, limitBytes = 0, more: object = {}) =>
    service.createVolume(
      {
        name: 'pgdata',
        capacityRange: { requiredBytes, limitBytes },
        volumeCapabilities: [capability],
        parameters: {},
        mutableParameters: {},
        volumeContentSource: null,
        ...more,
      } as never,
      CALL,
    );
  const publish = (nodeId: string, readonly = false) =>
    service.controllerPublishVolume({ volumeId: 'pgdata', nodeId, readonly, volumeCapability: capability } as never, CALL);
  const unpublish = (nodeId: string) => service.controllerUnpublishVolume({ volumeId: 'pgdata', nodeId } as never, CALL);

  it('makes one volume however often it is asked, and refuses what differs', async () => {
    const made = await Promise.all([create(), create()]);
    expect(made[0]).to.deep.equal(made[1]);
    expect(await create()).to.deep.equal(made[0]);
    expect(world.created).to.equal(1);
    expect(await codeOf(create(20 * MIB))).to.equal('AlreadyExists');
    expect(await codeOf(create(MIB, 5 * MIB))).to.equal('AlreadyExists');
    expect(await codeOf(create(10 * MIB, 0, { parameters: { shards: '2' } }))).to.equal('AlreadyExists');
  });

  for (const [required, limit, expected] of [
    [1, 0, 4096],
    [4097, 0, 8192],
    [0, 1_000_000_000, 999_997_440],
    [0, 0, 2 ** 30],
    [5000, 6000, 'OutOfRange'],
    [0, 4095, 'OutOfRange'],
    [2 ** 45, 0, 'OutOfRange'],
    [-1, 0, 'InvalidArgument'],
    [8192, 4096, 'InvalidArgument'],
  ] as const)
    it(`of ${required} to ${limit} bytes makes ${expected}`, async () => {
      if (typeof expected === 'string') expect(await codeOf(create(required, limit))).to.equal(expected);
      else expect((await create(required, limit)).volume?.capacityBytes).to.equal(expected);
    });

  it('publishes to one node at a time, only to one that is known, and not twice differently', async () => {
    await create();
    for (const node of ['node-z', '..', 'a/b']) expect(await codeOf(publish(node)), node).to.equal('NotFound');
    expect(await codeOf(publish('node-a'))).to.equal('OK');
    expect(await codeOf(publish('node-a'))).to.equal('OK');
    expect(world.replaced).to.equal(1);
    expect(await codeOf(publish('node-b'))).to.equal('FailedPrecondition');
    expect(await codeOf(publish('node-a', true))).to.equal('AlreadyExists');
    expect(await codeOf(service.deleteVolume({ volumeId: 'pgdata' } as never, CALL)), 'in use').to.equal('FailedPrecondition');
    await unpublish('node-b');
    expect(world.volumes.get('pgdata')?.spec.attachTo, 'not from where it is').to.equal('node-a');
    await unpublish('');
    expect(await codeOf(publish('node-b', true))).to.equal('OK');
  });

  it('takes what is gone for deleted and unpublished', async () => {
    expect(await codeOf(unpublish('node-a'))).to.equal('OK');
    expect(await codeOf(service.deleteVolume({ volumeId: '../nodes' } as never, CALL))).to.equal('OK');
    await create();
    expect(await codeOf(service.deleteVolume({ volumeId: 'pgdata' } as never, CALL))).to.equal('OK');
    expect(world.volumes.size).to.equal(0);
  });

  it('writes on what it read, tries again when somebody was faster, and not for ever', async () => {
    await create();
    world.conflicts = 3;
    expect(await codeOf(publish('node-a'))).to.equal('OK');
    world.conflicts = Number.POSITIVE_INFINITY;
    world.replaced = 0;
    expect(await codeOf(unpublish('node-a'))).to.equal('Conflict');
    expect(world.replaced).to.equal(8);
  });

  it('grows to what is asked, never to what nobody asked', async () => {
    await create();
    const expand = (capacityRange: object | null) => service.controllerExpandVolume({ volumeId: 'pgdata', capacityRange } as never, CALL);
    for (const range of [null, { requiredBytes: 0, limitBytes: 0 }]) expect(await codeOf(expand(range))).to.equal('InvalidArgument');
    expect(await expand({ requiredBytes: 20 * MIB, limitBytes: 0 })).to.deep.equal({
      capacityBytes: 20 * MIB,
      nodeExpansionRequired: true,
    });
    expect(world.replaced).to.equal(1);
  });

  it('lists page by page, whatever people wrote on a volume, and says when a token is of no use', async () => {
    await create();
    world.annotate('pgdata', { 'csi.holdfast.dev/context': '{"fsType":' });
    const list = (maxEntries: number, startingToken: string) => service.listVolumes({ maxEntries, startingToken }, CALL);
    expect((await list(1, 'next')).nextToken).to.equal('more');
    expect(world.tokens).to.deep.equal(['next']);
    expect(await codeOf(list(1, 'old'))).to.equal('Aborted');
    expect(await codeOf(list(-1, ''))).to.equal('InvalidArgument');
  });

  it('takes no id for a selector, nor for a path', async () => {
    const listed = await service.listSnapshots(
      { maxEntries: 0, startingToken: '', sourceVolumeId: 'a,metadata.name=b', snapshotId: '' } as never,
      CALL,
    );
    expect([listed.entries, world.tokens]).to.deep.equal([[], []]);
    expect(await codeOf(service.controllerModifyVolume({ volumeId: '..', mutableParameters: {} } as never, CALL))).to.equal('NotFound');
  });
});
