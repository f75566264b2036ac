import { expect } from 'chai';
import { DEFAULT_SETTINGS } from '../../../../core/settings.ts';
import { objectPath, type StorageNodeObject } from '../../../../operator/api.ts';
import { SETTINGS_PATIENCE_MS, SettingsLags } from '../../../../operator/node/settingsLag.ts';
import { KEYS, machine } from '../../../support/operator/builders.ts';
import { Rig } from '../../../support/operator/rig.ts';

const fleet = (versions: Record<string, number>) =>
  new Map(Object.entries(versions).map(([letter, settingsVersion]) => [`node-${letter}`, machine(letter, { settingsVersion })]));

describe('operator: agents that do not run the latest settings', () => {
  it('are told of after a minute, not before, and not once they have followed', () => {
    const lags = new SettingsLags();
    const machines = fleet({ a: 2, b: 1, c: 0 });
    expect(lags.update(2, machines, 0).size).to.equal(0);
    expect(lags.update(2, machines, SETTINGS_PATIENCE_MS - 1).size).to.equal(0);
    expect([...lags.update(2, machines, SETTINGS_PATIENCE_MS)]).to.deep.equal([
      ['node-b', { runs: 1, wanted: 2 }],
      ['node-c', { runs: 0, wanted: 2 }],
    ]);
    expect([...lags.update(2, fleet({ a: 2, b: 2 }), SETTINGS_PATIENCE_MS + 1).keys()]).to.deep.equal([]);
  });

  it('are given their time by each version that they reach, and by none that they do not', () => {
    const lags = new SettingsLags();
    lags.update(2, fleet({ a: 1, b: 1 }), 0);
    lags.update(3, fleet({ a: 2, b: 1 }), SETTINGS_PATIENCE_MS / 2);
    expect([...lags.update(4, fleet({ a: 2, b: 1 }), SETTINGS_PATIENCE_MS).keys()]).to.deep.equal(['node-b']);
  });

  it('also when etcd was rebuilt and its version is the lower one, and never where there are none', () => {
    const lags = new SettingsLags();
    lags.update(1, fleet({ a: 7 }), 0);
    expect([...lags.update(1, fleet({ a: 7 }), SETTINGS_PATIENCE_MS).keys()]).to.deep.equal(['node-a']);
    expect(lags.update(null, fleet({ a: 7 }), SETTINGS_PATIENCE_MS).size).to.equal(0);
  });

  it('have a condition and an Event that name them, by the real loop', async () => {
    const rig = new Rig();
    for (const letter of 'ab') rig.start(letter, { settingsVersion: 1 });
    rig.elect();
    const conditionsOf = (node: string) => rig.api.object<StorageNodeObject>(objectPath('storagenodes', node))?.status?.conditions ?? [];
    await rig.until('both are ready', () => ['node-a', 'node-b'].every((node) => conditionsOf(node).length > 0));
    const record = { version: 2, values: DEFAULT_SETTINGS, configured: DEFAULT_SETTINGS };
    await rig.store.commit([], [{ put: KEYS.settings, value: JSON.stringify(record) }]);
    rig.start('a', { settingsVersion: 2 });
    const isBehind = (node: string): boolean =>
      conditionsOf(node).some(({ type, status }) => type === 'SettingsBehind' && status === 'True');
    await rig.until('node-b is told of', () => isBehind('node-b'), 700);
    expect(isBehind('node-a')).to.equal(false);
    rig.start('b', { settingsVersion: 2 });
    await rig.until('it has followed', () => !isBehind('node-b'));
  });
});
