/** Whom a real agent's replicas let seal them: whoever the leader appointed, also without etcd once they have promised; nobody on his own word. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import { connectOverNetwork } from '../../../agent/edge/replicationClient.ts';
import type { VolumeConfig } from '../../../core/config.ts';
import { instanceId } from '../../../core/ids.ts';
import type { Inventory } from '../../../core/inventory.ts';
import { silentLog } from '../../../core/log.ts';
import type { FromReplica, Seal } from '../../../core/wire/messages.ts';
import { type Certificates, loadCertificates } from '../../../edge/tls.ts';
import { type AgentProcess, Agents, LeaderStandIn, replicaOn } from '../../support/agents.ts';
import { runWell } from '../../support/nbdServed.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const HOST = '127.0.0.1';
const NODES = ['node-a', 'node-b', 'node-c'];
/** Taken over: it has a good certificate, and nothing to do with the volume. */
const THIEF = 'node-x';

const qemuIo = (socket: string, ...commands: string[]) =>
  runWell('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), `nbd+unix:///pgdata?socket=${socket}`);

/** The way to etcd of one agent. */
class Way {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  isCut = false;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      if (this.isCut) return near.destroy();
      const far = connect({ host: HOST, port: target });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        // What is cut is cut.
        socket.on('error', () => undefined);
        socket.on('close', () => this.#sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
      return undefined;
    });
  }

  static async to(url: string): Promise<Way> {
    const way = new Way(Number(new URL(url).port));
    await new Promise<void>((resolve) => way.#server.listen(0, HOST, resolve));
    return way;
  }

  get url(): string {
    return `https://${HOST}:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

describe('the replicas of an agent', function () {
  this.timeout(90_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let volume: VolumeConfig;
  let way: Way;
  const processes = new Map<string, AgentProcess>();

  beforeEach(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
    way = await Way.to(agents.etcd.url);
    const started = await Promise.all(NODES.map((node) => agents.start(node, node === 'node-c' ? { ETCD_ENDPOINTS: way.url } : {})));
    for (const agent of started) processes.set(agent.node, agent);
    volume = await leader.createVolume('pgdata', NODES, 16 * MIB);
  });
  afterEach(async () => {
    way.close();
    await agents.remove();
  });

  const process = (node: string): AgentProcess => processes.get(node) as AgentProcess;
  const inSync = async () => (await leader.config(volume.uid)).shards[0]?.inSync ?? [];
  const addressOf = async (node: string): Promise<string> => (await agents.machine(node))?.pools[0]?.address ?? '';

  async function serve(node: string): Promise<string> {
    await leader.promote(volume.uid, node);
    return leader.served(volume.uid);
  }

  async function promiseOn(node: string): Promise<{ promisedEpoch: number; version: number | undefined }> {
    const { body } = await agents.get(process(node), '/inventory');
    const found = (JSON.parse(body) as Inventory).replicas.find(({ replica }) => replica === replicaOn(volume, node));
    if (!found || !('promisedEpoch' in found)) throw new Error(`no replica on ${node}: ${body}`);
    return { promisedEpoch: found.promisedEpoch, version: found.config?.version };
  }

  async function certificatesOf(node: string): Promise<Certificates> {
    const { TLS_CA: ca = '', TLS_CERT: cert = '', TLS_KEY: key = '' } = await agents.environment(node);
    return loadCertificates({ ca, cert, key }, silentLog);
  }

  /** Over the wire, as an agent would; all that it hears until it is closed. */
  async function seal(config: VolumeConfig, node: string, certificates: Certificates): Promise<FromReplica[]> {
    const { uid, epoch, primary } = config;
    const [, port] = (await addressOf(node)).split(':');
    const heard: FromReplica[] = [];
    const said: Seal = {
      type: 'seal',
      volume: uid,
      replica: replicaOn(volume, node),
      epoch,
      instance: primary?.instance ?? instanceId('0'.repeat(16)),
      config,
    };
    const dial = connectOverNetwork({
      resolve: () => ({ host: HOST, port: Number(port) }),
      certificates,
      events: { connectionRefused: () => undefined },
    });
    const member = volume.shards[0]?.members.find((one) => one.node === node);
    if (!member) throw new Error(`no member on ${node}`);
    await new Promise<void>((resolve) => {
      dial(member, said, { message: (message) => heard.push(message), burstEnd: () => undefined, closed: () => resolve() });
    });
    return heard;
  }

  it('are sealed by nobody whom the leader has not appointed, and promise him nothing', async () => {
    const socket = await serve('node-a');
    const inForce = await leader.config(volume.uid);
    const before = await promiseOn('node-b');
    const thief = await certificatesOf(THIEF);
    const as = (change: Partial<VolumeConfig>, instance = instanceId('00000000000000ff')): VolumeConfig => ({
      ...inForce,
      primary: { node: THIEF, instance, mode: 'serve' },
      ...change,
    });
    const madeUp = [
      as({ epoch: inForce.epoch + 1, version: inForce.version + 1 }),
      as({ epoch: 1_000_000, version: 1_000_000 }),
      // The very epoch and instance that are promised, which anybody may read in etcd.
      as({}, inForce.primary?.instance),
    ];
    for (const config of madeUp) {
      const heard = await seal(config, 'node-b', thief);
      expect(heard.map(({ type }) => type)).to.deep.equal(['refused']);
      expect(JSON.stringify(heard[0])).to.match(/whom the leader has not appointed: in force is epoch 1 of node-a/);
    }
    expect(await promiseOn('node-b')).to.deep.equal(before);
    const counted = 'holdfast_connections_refused_total{port="replication",rule="appointment"} 3';
    await until('they are counted', async () => (await agents.get(process('node-b'), '/metrics')).body.includes(counted));
    await qemuIo(socket, 'write -P 0x21 0 1M', 'flush', 'read -P 0x21 0 1M');
    expect((await inSync()).length).to.equal(NODES.length);
    thief.close();
  });

  it('are sealed again by whom they promised while etcd is away, also after a restart of their agent', async () => {
    const socket = await serve('node-a');
    const address = await addressOf('node-b');
    await agents.etcd.kill();
    await process('node-b').kill();
    const written = qemuIo(socket, 'write -P 0x22 0 1M', 'flush');
    const again = await agents.spawn('node-b', { REPLICATION_LISTEN: address });
    await written;
    expect(again.lines.some(({ message, epoch }) => message === 'session opened' && epoch === 1)).to.equal(true);
    await agents.etcd.start();
    await until('it registers', async () => (await agents.machine('node-b').catch(() => null)) !== null, 30_000);
  });

  it('that cannot ask etcd are as replicas that are not there: others serve, and they come back', async () => {
    way.cut();
    const socket = await serve('node-a');
    const { rule, reason } = (await until('it is refused', () =>
      process('node-c').lines.find(({ message }) => message === 'replication connection refused'),
    )) as { rule: string; reason: string };
    expect(rule).to.equal('appointmentUnknown');
    expect(reason).to.match(/^whether node-a \(instance [0-9a-f]{16}\) is the primary of .* in epoch 1 could not be found out: /);
    expect(await inSync()).to.not.include(replicaOn(volume, 'node-c'));
    await qemuIo(socket, 'write -P 0x23 0 1M', 'flush');
    way.isCut = false;
    await until('it is in sync again', async () => (await inSync()).length === NODES.length, 40_000);
  });
});
