/** An agent that was cut off from etcd while the history of what it missed was compacted away reads all anew, and misses nothing: least of all what was deleted. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { nodesOf, type VolumeConfig } from '../../../core/config.ts';
import { DEFAULT_SETTINGS } from '../../../core/settings.ts';
import { Agents, keys, LeaderStandIn, replicaOn } from '../../support/agents.ts';
import { Routes } from '../../support/operator/routes.ts';
import { until } from '../../support/until.ts';

const NODE = 'node-a';
const SIZE_BYTES = 8 * 1024 * 1024;

describe('an agent behind what etcd remembers', function () {
  this.timeout(120_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  const routes = new Routes();

  before(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
  });
  after(async () => {
    routes.close();
    await agents?.remove();
  });

  const socketOf = (name: string): string => path.join(agents.runDirectory(NODE), `${name}.sock`);
  /** As the leader does it. */
  const remove = async (config: VolumeConfig): Promise<void> => {
    const changes = nodesOf(config).map((node) => ({ delete: keys.pointer(node, config.uid) }));
    const deleted = { put: keys.deletedOf(config.uid), value: '{}' };
    await agents.store.commit([], [{ delete: keys.volume(config.uid) }, ...changes, deleted]);
  };

  it('hears of deletions, of changes, of tasks and of settings', async () => {
    const route = await routes.of(NODE, 'etcd', agents.etcd.url);
    await agents.start(NODE, { ETCD_ENDPOINTS: route });
    const [gone, kept] = [await leader.createVolume('gone', [NODE], SIZE_BYTES), await leader.createVolume('kept', [NODE], SIZE_BYTES)];
    for (const { uid } of [gone, kept]) await leader.promote(uid, NODE);
    for (const { uid } of [gone, kept]) await leader.served(uid);

    routes.cut(NODE, ['etcd'], 'both');
    await until('its lease has run out', async () => (await agents.machine(NODE)) === null, 40_000);
    await remove(await leader.config(gone.uid));
    const deletion = await leader.file(NODE, { kind: 'delete-replica', volume: gone.uid, replica: replicaOn(gone, NODE), pool: 'default' });
    const fenced = await leader.change(kept.uid, (known) => ({ ...known, epoch: known.epoch + 1, primary: null }));
    for (let version = 2; version < 30; version++) await agents.put(keys.settings, { version, values: { ...DEFAULT_SETTINGS } });
    const { upkeep } = agents.connection;
    expect(await upkeep.compact(await upkeep.revision())).to.equal(true);
    expect([existsSync(socketOf('gone')), existsSync(socketOf('kept'))]).to.deep.equal([true, true]);

    routes.mend();
    await until('what is deleted is served no more', () => !existsSync(socketOf('gone')));
    expect((await leader.ended(deletion)).state).to.equal('done');
    expect(agents.replicasOn(NODE)).to.deep.equal([replicaOn(kept, NODE)]);
    await until('it runs the latest settings', async () => (await agents.machine(NODE))?.settingsVersion === 29);
    expect((await leader.promote(kept.uid, NODE)).epoch).to.equal(fenced.epoch + 1);
    await leader.served(kept.uid);
  });
});
