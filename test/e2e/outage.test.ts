/**
 * The API server is gone for minutes, and agents die meanwhile: volumes serve and are written to, the leader brings back what can be brought back, and when the API server
 * is there again people see how things are. Nothing was made, replaced or deleted for it. `make test-outage MINUTES=10`; without, one minute.
 */
import { expect } from 'chai';
import type { VolumeConfig } from '../../core/config.ts';
import { keysOf } from '../../core/keys.ts';
import { CLUSTER_NAME } from '../../tools/local/layout.ts';
import { configsAmong } from '../support/configsInStore.ts';
import { until } from '../support/until.ts';
import { FAILOVER_BOUND_MS, LEADER_BOUND_MS, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';
import type { Writer } from './writer.ts';

const OUTAGE_MS = Number(process.env.OUTAGE_MINUTES || '1') * 60_000;
const NODES = 4;
const REPLICAS = 3;
const MORE = 100;
const KEYS = keysOf(CLUSTER_NAME);

describe('end to end: the API server is gone for minutes', function () {
  this.timeout(OUTAGE_MS + 180_000);
  let world: World;

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(NODES);
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const storedAt = async (key: string): Promise<string | undefined> => (await world.stored()).find((entry) => entry.key === key)?.value;
  const configs = async (): Promise<VolumeConfig[]> => configsAmong(await world.stored(), KEYS).map(({ config }) => config);
  const config = async (name: string): Promise<VolumeConfig> => {
    const found = (await configs()).find((one) => one.name === name);
    if (!found) throw new Error(`etcd holds no config of ${name}`);
    return found;
  };
  /** Every task that was ever filed is here: an ended one is remembered for an hour. */
  const tasks = async (): Promise<string[]> =>
    (await world.stored()).map(({ key }) => key).filter((key) => key.startsWith(KEYS.tasks) || key.startsWith(KEYS.history));
  const members = async (): Promise<string[]> =>
    (await configs()).flatMap(({ name, shards }) =>
      shards.flatMap((shard) => shard.members.map((each) => `${name} ${each.replica} ${each.node}`)),
    );
  const isWhole = async (name: string): Promise<boolean> => ((await config(name)).shards[0]?.inSync.length ?? 0) === REPLICAS;

  it('volumes serve and are written to, fail over when an agent dies, and are shown as they are afterwards', async () => {
    const { volume, socket } = await world.volume('256Mi', REPLICAS, 'node-a');
    const other = await world.volume('256Mi', REPLICAS, 'node-b');
    const detached = await world.volume('256Mi', REPLICAS);
    const names = [volume, other.volume, detached.volume].map(({ name }) => name);
    await until('no task is open', async () => (await tasks()).every((key) => key.startsWith(KEYS.history)));
    const before = {
      tasks: await tasks(),
      members: await members(),
      leader: await storedAt(KEYS.leader),
      epoch: (await config(volume.name)).epoch,
    };

    const writers: Writer[] = [world.writer(volume), world.writer(other.volume)];
    for (const writer of writers) writer.begin();
    const goOn = () => Promise.all(writers.map((writer) => writer.untilMore(MORE)));
    try {
      await goOn();
      await world.cluster.process('apiserver/apiserver').kill('SIGKILL');
      const beganMs = performance.now();
      await goOn();

      await world.cluster.process('agent/node-a').kill('SIGKILL');
      world.cluster.process('agent/node-a').start();
      // One that starts slowly is fenced first: an epoch without a primary is between.
      const isPrimaryAnew = ({ epoch, primary }: VolumeConfig): boolean => epoch > before.epoch && primary?.node === 'node-a';
      await until('the new process is the primary', async () => isPrimaryAnew(await config(volume.name)), FAILOVER_BOUND_MS);
      await goOn();

      await world.cluster.process('agent/node-c').kill('SIGKILL');
      await goOn();
      world.cluster.process('agent/node-c').start();
      for (const name of names) await until(`${name} is whole again`, () => isWhole(name), RETURN_BOUND_MS);

      await until('the outage was long enough', () => performance.now() - beganMs > OUTAGE_MS, 2 * OUTAGE_MS);
      await goOn();
      world.cluster.process('apiserver/apiserver').start();
      await world.cluster.grow(NODES, 2);

      const { epoch } = await config(volume.name);
      await volume.until('shown as it is', LEADER_BOUND_MS, (status) => status.epoch === epoch);
      for (const each of [volume, other.volume, detached.volume]) await each.untilHealthy(REPLICAS, RETURN_BOUND_MS);
      await goOn();
    } finally {
      for (const writer of writers) await writer.end();
    }
    const [first, second] = writers;
    expect(await first?.faults(socket), 'acknowledged writes that are lost').to.deep.equal([]);
    expect(await second?.faults(other.socket), 'acknowledged writes that are lost').to.deep.equal([]);
    const after = { tasks: await tasks(), members: await members(), leader: await storedAt(KEYS.leader) };
    expect(after.members, 'replicas').to.deep.equal(before.members);
    expect(after.tasks, 'tasks').to.deep.equal(before.tasks);
    expect(after.leader, 'the leader').to.equal(before.leader);
  });

  it('does afterwards what is asked for then', async () => {
    const { volume } = await world.volume('64Mi', REPLICAS, 'node-d');
    expect((await volume.status()).attachment?.node).to.equal('node-d');
  });
});
