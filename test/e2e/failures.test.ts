/** What dies, hangs and comes back under a volume that is being written. Nothing that was acknowledged may be missing afterwards. */
import { existsSync } from 'node:fs';
import { expect } from 'chai';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import type { ProcessName } from '../../tools/local/layout.ts';
import { FAILOVER_BOUND_MS, LEADER_BOUND_MS, qemuIo, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';
import { WRITER_AREA_BYTES, type Writer } from './writer.ts';

const MORE = 100;

describe('end to end: failures', function () {
  this.timeout(120_000);
  let world: World;
  let volume: DemoVolume;
  let writer: Writer;
  let socket: string;

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3);
    ({ volume, socket } = await world.volume('512Mi', 3, 'node-a'));
    writer = world.writer(volume);
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const process = (name: ProcessName) => world.cluster.process(name);
  const goesOn = () => writer.untilMore(MORE);
  const isServedAfter = (epoch: number, node: string) =>
    volume.until(`served by ${node} after epoch ${epoch}`, FAILOVER_BOUND_MS, (status) => {
      const { attachment } = status;
      return (status.epoch ?? 0) > epoch && attachment?.node === node && attachment.socket;
    });
  const isDegraded = () => volume.until('Degraded', FAILOVER_BOUND_MS, ({ phase, inSync }) => phase === 'Degraded' && inSync === '2/3');

  /** Before it the volume is on node-a, Healthy and written to; after it too, and everything acknowledged in any test so far is there. */
  const disaster = (title: string, happens: (epoch: number) => Promise<void>) =>
    it(title, async () => {
      // As the test before leaves it, unless it failed.
      for (const each of world.cluster.processes) each.start();
      await volume.attachTo('node-a');
      await volume.untilServedBy('node-a', LEADER_BOUND_MS);
      const { epoch = 0 } = await volume.status();
      writer.begin();
      try {
        await goesOn();
        await happens(epoch);
        await goesOn();
        await volume.attachTo('node-a');
        await volume.untilServedBy('node-a', FAILOVER_BOUND_MS);
        await goesOn();
        await volume.untilHealthy(3, RETURN_BOUND_MS);
      } finally {
        await writer.end();
      }
      expect(await writer.faults(socket), 'acknowledged writes that are lost').to.deep.equal([]);
    });

  disaster("kill -9 of a secondary's agent: the writer pauses, goes on, and the replica comes back", async () => {
    await process('agent/node-c').kill('SIGKILL');
    await goesOn();
    await isDegraded();
    process('agent/node-c').start();
  });

  disaster('a secondary that hangs is left behind, and comes back when it moves again', async () => {
    await process('agent/node-c').kill('SIGSTOP');
    await goesOn();
    await isDegraded();
    await process('agent/node-c').kill('SIGCONT');
  });

  disaster("kill -9 of the primary's agent: another node serves within 15 s, with everything", async () => {
    const killedMs = performance.now();
    await process('agent/node-a').kill('SIGKILL');
    await volume.attachTo('node-b');
    const other = await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await qemuIo(other, 'read 0 4k', `write -P 0x44 ${WRITER_AREA_BYTES} 4k`, 'flush');
    expect(performance.now() - killedMs).to.be.lessThan(FAILOVER_BOUND_MS);
    await writer.end();
    expect(await writer.faults(other), 'acknowledged writes that are lost').to.deep.equal([]);
    writer.begin();
    await goesOn();
    await isDegraded();
    process('agent/node-a').start();
    await volume.untilHealthy(3, RETURN_BOUND_MS);
  });

  disaster("kill -9 of the primary's agent, which is started again: it serves again by itself", async (epoch) => {
    await process('agent/node-a').kill('SIGKILL');
    process('agent/node-a').start();
    await isServedAfter(epoch, 'node-a');
  });

  disaster("SIGTERM of the primary's agent: it lets go, and serves again when it is started", async (epoch) => {
    await process('agent/node-a').kill('SIGTERM');
    expect(existsSync(socket), 'the socket is gone').to.equal(false);
    await volume.until('Unavailable', FAILOVER_BOUND_MS, ({ phase, primary }) => phase === 'Unavailable' && primary === undefined);
    process('agent/node-a').start();
    await isServedAfter(epoch, 'node-a');
  });

  disaster('kill -9 of the leading operator: the writer does not notice, and the other one moves the volume', async (epoch) => {
    const leader = await world.leader();
    await process(leader).kill('SIGKILL');
    await goesOn();
    expect((await volume.status()).epoch).to.equal(epoch);
    await volume.attachTo('node-b');
    await volume.untilServedBy('node-b', LEADER_BOUND_MS);
    process(leader).start();
  });

  disaster('kill -9 of kube-apiserver: the writer does not notice, and the same primary is there when it is back', async (epoch) => {
    await process('apiserver/apiserver').kill('SIGKILL');
    await goesOn();
    await world.cluster.grow(3, 2);
    expect((await volume.status()).epoch).to.equal(epoch);
  });

  disaster('kill -9 of etcd: the writer goes on without, and all is well when it is back', async () => {
    await process('etcd/etcd-0').kill('SIGKILL');
    await goesOn();
    await world.cluster.grow(3, 2);
  });
});
