/** The agent's threads: their sockets and addresses, with and without TLS, and what happens when one ends by itself. */
import { lstatSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { threadWorkers, workersWithin } from '../../../agent/edge/workers.ts';
import { Primary } from '../../../agent/primary/primary.ts';
import { Replica } from '../../../agent/replica/replica.ts';
import { startAgent } from '../../../agent/start.ts';
import { instanceId } from '../../../core/ids.ts';
import { silentLog } from '../../../core/log.ts';
import type { Program } from '../../../edge/program.ts';
import { Agents, LeaderStandIn } from '../../support/agents.ts';
import { HandNbdClient } from '../../support/nbdClient.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const BLOCK = Buffer.alloc(4096, 0x42);

async function writeAndRead(socket: string, name: string): Promise<void> {
  const client = await HandNbdClient.open(socket, name);
  const answers = [await client.write(MIB, BLOCK), await client.flush(), await client.read(MIB, BLOCK.length)];
  client.close();
  for (const answer of answers) expect(answer).to.include({ outcome: 'replied', error: 0 });
  const last = answers.at(-1);
  expect(last?.outcome === 'replied' && last.data.equals(BLOCK)).to.equal(true);
}

describe("an agent's threads", function () {
  this.timeout(60_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  beforeEach(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
  });
  afterEach(() => agents.remove());

  const twoPools = async (node: string) => {
    await agents.environment(node);
    const other = `${agents.poolDirectory(node)}-2`;
    mkdirSync(other, { recursive: true });
    return { POOLS: `default=${agents.poolDirectory(node)},other=${other}` };
  };

  it('are one a pool and some for primaries; each pool answers at an address of its own, and here at a socket that nobody else may enter', async () => {
    const agent = await agents.start('node-a', await twoPools('node-a'));
    const pools = (await agents.machine('node-a'))?.pools ?? [];
    expect(new Set(pools.map(({ address }) => address)).size).to.equal(2);
    for (const { address } of pools) expect(address).to.match(/^127\.0\.0\.1:\d+$/);
    const sockets = path.join(agents.runDirectory('node-a'), 'pools');
    expect(readdirSync(sockets).sort()).to.deep.equal(['default.sock', 'other.sock']);
    expect(lstatSync(sockets).mode & 0o777).to.equal(0o700);
    const said = agent.lines.filter(({ message }) => message === 'pool opened').map(({ pool }) => pool);
    expect(said.sort()).to.deep.equal(['default', 'other']);
    expect(agent.said('replication without TLS: whoever reaches its ports can read and write every replica here')).to.equal(false);
  });

  for (const mode of ['on', 'off']) {
    it(`serve a volume over several pools and nodes with REPLICATION_TLS=${mode}`, async () => {
      const environment = { REPLICATION_TLS: mode };
      const started = await Promise.all(
        ['node-a', 'node-b'].map(async (node) => agents.start(node, { ...(await twoPools(node)), ...environment })),
      );
      const { uid } = await leader.createVolume('pgdata', ['node-a', 'node-b'], 16 * MIB, (node) =>
        node === 'node-a' ? 'other' : 'default',
      );
      await leader.promote(uid, 'node-a');
      await writeAndRead(await leader.served(uid), 'pgdata');
      const warned = started.map((agent) =>
        agent.said('replication without TLS: whoever reaches its ports can read and write every replica here'),
      );
      expect(warned).to.deep.equal(mode === 'on' ? [false, false] : [true, true]);
      // Those of the workers and, beside them, those of control, each in its own time.
      const expected = ['holdfast_nbd_requests_total{operation="write",result="none"} 1', 'holdfast_primaries_count 1'];
      await until('its requests and primaries are counted', async () => {
        const { body } = await agents.get(started[0] as (typeof started)[number], '/metrics');
        return expected.every((line) => body.includes(line));
      });
    });
  }

  it('whose port is taken end the agent with the reason', async () => {
    await agents.start('node-a', { REPLICATION_LISTEN: '127.0.0.1:0' });
    const address = (await agents.machine('node-a'))?.pools[0]?.address ?? '';
    const second = await agents.spawn('node-b', { REPLICATION_LISTEN: address });
    expect(await second.ended).to.equal(1);
    expect(JSON.stringify(second.lines.at(-1))).to.match(/pool default cannot listen for replication: .*EADDRINUSE/);
  });

  it('that end by themselves are told, with what they threw', async () => {
    const failed: Error[] = [];
    const workers = threadWorkers((error) => failed.push(error));
    const tls = { ca: '/nowhere', cert: '/nowhere', key: '/nowhere' };
    const instance = instanceId('00000000000000aa');
    const basics = { node: 'node-a', instance, runDirectory: agents.directory, tls, logLevel: 'info' } as const;
    workers.startPrimary({ ...basics, kind: 'primary', index: 0, pools: new Map() });
    await until('it is told', () => failed.length >= 2);
    expect(failed[0]?.message).to.match(/^worker primaries-0 failed: /);
    expect(failed[1]?.message).to.match(/^worker primaries-0 ended with 1/);
    expect(await workers.stop()).to.equal(true);
  });

  it('may all be one, with engines that a test gives: the same hosts, the same messages', async () => {
    const fail = (error: unknown): never => {
      throw error;
    };
    const environment = await agents.environment('node-a');
    const log = { ...silentLog, setLevel: () => undefined, writeLast: () => undefined };
    const program: Program = { name: 'holdfast-agent', environment, log, fail, setStuck: () => undefined };
    const engines = {
      makeReplica: (options: ConstructorParameters<typeof Replica>[0]) => new Replica(options),
      makePrimary: (options: ConstructorParameters<typeof Primary>[0]) => new Primary(options),
    };
    const running = await startAgent(program, workersWithin(engines));
    try {
      await until('it registers', async () => (await agents.machine('node-a')) !== null);
      const { uid } = await leader.createVolume('pgdata', ['node-a'], 16 * MIB);
      await leader.promote(uid, 'node-a');
      await writeAndRead(await leader.served(uid), 'pgdata');
    } finally {
      await running.stop();
    }
    expect(await agents.machine('node-a')).to.equal(null);
  });
});
