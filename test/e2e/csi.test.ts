/** What people do with claims, call by call, with real mounts: no error while agents die, nothing made over data, nothing used where it is not served. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, write, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { agentProcess } from '../../tools/local/layout.ts';
import { block, type CsiClient, CsiRefusal, csiClient, mounted } from '../csi/client.ts';
import { CsiCluster } from '../csi/cluster.ts';
import { again, Pod } from '../csi/pod.ts';
import { runWell } from '../support/nbdServed.ts';
import { until } from '../support/until.ts';
import { START_BOUND_MS } from './world.ts';

const MIB = 1024 ** 2;
const BYTES = 400 * MIB;
const CLAIMS_AT_ONCE = 40;

const refusal = async (call: Promise<unknown>): Promise<CsiRefusal> => {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).to.be.instanceOf(CsiRefusal);
  return error as CsiRefusal;
};

/** Each write is on every replica in sync before the next one begins. */
class Writer {
  readonly #file: number;
  #stopped = false;
  #written = 0;
  longestMs = 0;
  readonly ended: Promise<number>;

  constructor(file: string) {
    this.#file = openSync(file, 'as');
    this.ended = this.#run();
    // Told to whoever asks; not before.
    this.ended.catch(() => undefined);
  }

  get written(): number {
    return this.#written;
  }

  async #run(): Promise<number> {
    while (!this.#stopped) {
      const begunMs = performance.now();
      await new Promise<void>((resolve, reject) => {
        write(this.#file, `line ${this.#written}\n`, (error) => (error ? reject(error) : resolve()));
      });
      this.longestMs = Math.max(this.longestMs, performance.now() - begunMs);
      this.#written++;
    }
    closeSync(this.#file);
    return this.#written;
  }

  stop(): Promise<number> {
    this.#stopped = true;
    return this.ended;
  }
}

const linesOf = (file: string): number => readFileSync(file, 'utf8').split('\n').length - 1;

describe('claims, with real mounts', function () {
  this.timeout(START_BOUND_MS);
  let csi: CsiCluster;
  let directory: string;
  const clients = new Map<string, CsiClient>();
  let count = 0;

  const client = (node = 'node-a'): CsiClient => {
    const known = clients.get(node) ?? csiClient(csi.controller(), csi.node(node));
    clients.set(node, known);
    return known;
  };
  const claim = async (capability = mounted(), more: object = {}): Promise<string> => {
    const name = `pvc-${++count}`;
    const { volume } = await again(() =>
      client().controller.createVolume({
        name,
        capacityRange: { requiredBytes: BYTES },
        volumeCapabilities: [capability],
        parameters: {},
        ...more,
      }),
    );
    return volume?.volumeId ?? '';
  };
  const pod = (volumeId: string, node = 'node-a', capability = mounted()): Pod =>
    new Pod(client(node), node, volumeId, capability, directory);
  const remove = (volumeId: string) => again(() => client().controller.deleteVolume({ volumeId }));

  before(async () => {
    csi = await CsiCluster.start({ nodes: 4, operators: 2 });
    directory = mkdtempSync(path.join(tmpdir(), 'hf-pods-'));
  });

  after(async () => {
    for (const one of clients.values()) one.close();
    await csi.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('a pod writes on while its agent is killed, and while it is replaced', async () => {
    const volume = await claim();
    const own = pod(volume);
    await own.start();
    const file = path.join(own.target, 'log');
    const writer = new Writer(file);
    const agent = csi.cluster.process(agentProcess('node-a'));
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await agent.kill(signal);
      agent.start();
      const before = writer.written;
      await until('it writes on', async () => writer.written > before + 20, 30_000);
    }
    const written = await writer.stop();
    expect(linesOf(file)).to.equal(written);
    expect(writer.longestMs).to.be.below(20_000);
    await own.stop();
    // Every line is there for the next pod, on another node.
    const next = pod(volume, 'node-b');
    await next.start();
    expect(linesOf(path.join(next.target, 'log'))).to.equal(written);
    await next.stop();
    await remove(volume);
  });

  it('a node that is lost: the pod starts elsewhere with every acknowledged line, and the old mount may not be used', async () => {
    const volume = await claim();
    const old = pod(volume);
    await old.start();
    const writer = new Writer(path.join(old.target, 'log'));
    await until('it has written', async () => writer.written > 50);
    const agent = csi.cluster.process(agentProcess('node-a'));
    await agent.kill('SIGKILL');
    const acknowledged = writer.written;
    // As the controllers of Kubernetes do when the node is out of service.
    await old.detach();
    const next = pod(volume, 'node-b');
    await next.start();
    expect(linesOf(path.join(next.target, 'log'))).to.be.at.least(acknowledged);
    agent.start();
    await until(
      'its agent answers again',
      () =>
        client()
          .node.nodeGetInfo({})
          .then(
            () => true,
            () => false,
          ),
      30_000,
    );
    expect((await refusal(old.stage())).code).to.equal('FAILED_PRECONDITION');
    // Whoever hung there is let go with an error, so that its kubelet can clean up.
    const error = await writer.ended.then(
      () => null,
      (thrown: NodeJS.ErrnoException) => thrown,
    );
    expect(error?.code).to.equal('EIO');
    await old.leave();
    writeFileSync(path.join(next.target, 'later'), 'still here');
    await next.stop();
    await remove(volume);
  });

  it('grows under a pod that writes, and a block device as well', async () => {
    const volume = await claim();
    const own = pod(volume);
    await own.start();
    const writer = new Writer(path.join(own.target, 'log'));
    const grown = await again(() =>
      client().controller.controllerExpandVolume({ volumeId: volume, capacityRange: { requiredBytes: 2 * BYTES } }),
    );
    expect(grown).to.deep.include({ capacityBytes: 2 * BYTES, nodeExpansionRequired: true });
    await again(() =>
      client().node.nodeExpandVolume({ volumeId: volume, volumePath: own.target, capacityRange: { requiredBytes: 2 * BYTES } }),
    );
    const stats = await client().node.nodeGetVolumeStats({ volumeId: volume, volumePath: own.target });
    expect(stats.usage?.find(({ unit }) => unit === 'BYTES')?.total).to.be.above(1.8 * BYTES);
    expect(stats.volumeCondition?.abnormal).to.equal(false);
    expect(await writer.stop()).to.equal(linesOf(path.join(own.target, 'log')));
    await own.stop();
    await remove(volume);

    const raw = await claim(block());
    const device = pod(raw, 'node-c', block());
    await device.start();
    expect(statSync(device.target).isBlockDevice()).to.equal(true);
    expect((await runWell('blockdev', '--getsize64', device.target)).trim()).to.equal(`${BYTES}`);
    await again(() => client('node-c').controller.controllerExpandVolume({ volumeId: raw, capacityRange: { requiredBytes: 2 * BYTES } }));
    await again(() =>
      client('node-c').node.nodeExpandVolume({ volumeId: raw, volumePath: device.target, capacityRange: { requiredBytes: 2 * BYTES } }),
    );
    expect((await runWell('blockdev', '--getsize64', device.target)).trim()).to.equal(`${2 * BYTES}`);
    await device.stop();
    await remove(raw);
  });

  it('nothing is made over data: not over another file system, not over bytes that nobody knows', async () => {
    const volume = await claim();
    const first = pod(volume);
    await first.start();
    writeFileSync(path.join(first.target, 'precious'), 'data');
    await first.leave();
    const other = pod(volume, 'node-a', mounted('ext4'));
    const refused = await refusal(other.stage());
    expect(refused.code).to.equal('FAILED_PRECONDITION');
    expect(refused.message).to.include('holds xfs, asked is ext4');
    await other.leave();
    await first.stage();
    await first.publish({ readonly: true });
    expect(readFileSync(path.join(first.target, 'precious'), 'utf8')).to.equal('data');
    expect(() => writeFileSync(path.join(first.target, 'more'), 'x')).to.throw('EROFS');
    await first.stop();
    await remove(volume);

    const raw = await claim(block());
    const device = pod(raw, 'node-a', block());
    await device.start();
    const descriptor = openSync(device.target, 'r+');
    writeSync(descriptor, 'somebody wrote this', 5000);
    closeSync(descriptor);
    await device.leave();
    const asFiles = pod(raw);
    expect((await refusal(asFiles.stage())).message).to.include('data that is no file system');
    await asFiles.leave();
    await asFiles.detach();
    await remove(raw);
  });

  it('a snapshot under a pod that writes, restored; a clone mounted beside its source; ext4 as well', async () => {
    for (const fsType of ['xfs', 'ext4']) {
      const capability = mounted(fsType);
      const volume = await claim(capability);
      const own = pod(volume, 'node-a', capability);
      await own.start();
      const writer = new Writer(path.join(own.target, 'log'));
      await until('it has written', async () => writer.written > 20);
      const before = writer.written;
      const { snapshot } = await again(() => client().controller.createSnapshot({ name: `snapshot-${volume}`, sourceVolumeId: volume }));
      expect(snapshot).to.deep.include({ sourceVolumeId: volume, sizeBytes: BYTES, readyToUse: true });
      const snapshotId = snapshot?.snapshotId ?? '';
      const restored = await claim(capability, { volumeContentSource: { snapshot: { snapshotId } } });
      const cloned = await claim(capability, { volumeContentSource: { volume: { volumeId: volume } } });
      for (const copy of [restored, cloned]) {
        const beside = pod(copy, 'node-a', capability);
        await beside.start();
        expect(linesOf(path.join(beside.target, 'log'))).to.be.at.least(before);
        await beside.stop();
        await remove(copy);
      }
      await writer.stop();
      await own.stop();
      await again(() => client().controller.deleteSnapshot({ snapshotId }));
      await remove(volume);
    }
  });

  it(`${CLAIMS_AT_ONCE} claims at once, each asked for twice: all are made, none twice`, async () => {
    const names = Array.from({ length: CLAIMS_AT_ONCE }, (_, index) => `many-${index}`);
    const asked = [...names, ...names].map((name) =>
      again(() =>
        client().controller.createVolume({
          name,
          capacityRange: { requiredBytes: BYTES },
          volumeCapabilities: [mounted()],
          parameters: { replicas: '2' },
        }),
      ),
    );
    const made = (await Promise.all(asked)).map(({ volume }) => volume?.volumeId);
    expect(new Set(made).size).to.equal(CLAIMS_AT_ONCE);
    const { entries = [] } = await client().controller.listVolumes({});
    expect(entries.filter(({ volume }) => volume?.volumeId?.startsWith('many-'))).to.have.length(CLAIMS_AT_ONCE);
    await Promise.all(names.map(remove));
  });
});
