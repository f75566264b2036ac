/** etcd runs out of space: volumes are served as before, people are told what is so, and it has space again without anybody doing anything. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { silentLog } from '../../core/log.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { HEALTHY_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';
import type { Writer } from './writer.ts';

const KIBIBYTE = 1024;
const QUOTA_BYTES = 16 * KIBIBYTE * KIBIBYTE;
const VALUE = 'x'.repeat(500 * KIBIBYTE);
const RESCUE_BOUND_MS = 60_000;
const WRITES = 40;

describe('end to end: etcd without space', function () {
  this.timeout(180_000);
  let world: World;
  let writer: Writer | undefined;

  before(async function () {
    this.timeout(START_BOUND_MS);
    const etcdFlags = [`--quota-backend-bytes=${QUOTA_BYTES}`];
    world = await World.open(2, undefined, { etcdMembers: 3, hasApiServerEtcd: true, etcdFlags });
  });
  after(async () => {
    await writer?.end();
    await world?.close();
  });
  showLogsOfFailures(() => world);

  /** Until etcd itself says that there is no more. */
  const fill = async (): Promise<void> => {
    const { endpoints, tls } = world.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: 5 }, silentLog);
    try {
      for (let index = 0; index < 1_000; index++) await connection.store.commit([], [{ put: '/somebody/else', value: `${index}${VALUE}` }]);
      throw new Error('etcd took a thousand values, and has still space');
    } catch (error) {
      expect(String(error)).to.contain('database space exceeded');
    } finally {
      await connection.close();
      certificates.close();
    }
  };
  const toldOf = async (reason: string): Promise<string> =>
    waitFor(`the event ${reason}`, RESCUE_BOUND_MS, async () => {
      const text = await world.cluster.kubectl(['get', 'events.events.k8s.io', '-n', 'holdfast-system', '-o', 'json']);
      const { items } = JSON.parse(text) as { items: { reason: string; note: string }[] };
      const event = items.find((item) => item.reason === reason);
      return event ? { value: event.note } : { reason: `told were ${items.map((item) => item.reason).join(', ')}` };
    });

  it('volumes are served as before, it is told, and it has space again', async () => {
    const { volume, socket } = await world.volume('64Mi', 2, 'node-a');
    writer = world.writer(volume);
    writer.begin();
    await writer.untilMore(WRITES);
    await fill();
    await writer.untilMore(WRITES);
    const late = world.newVolume();
    await late.create('32Mi', 2, {});
    expect(await toldOf('StoreNoSpace')).to.match(/^etcd has no space left .* volumes are served as before/);
    await writer.untilMore(WRITES);
    expect(await toldOf('StoreHasSpace')).to.equal('etcd has space');
    await late.untilHealthy(2, HEALTHY_BOUND_MS);
    const plugin = path.join(CHECKOUT, 'bin/kubectl-holdfast');
    const { stdout } = await promisify(execFile)(plugin, ['status', '--kubeconfig', world.cluster.kubeconfig]);
    expect(stdout).to.not.contain('! etcd');
    await writer.end();
    expect(await writer.faults(socket)).to.deep.equal([]);
  });
});
