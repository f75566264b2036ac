/** The settings that an agent runs: all of a value, or those of before. */
import { expect } from 'chai';
import { SettingsWatch } from '../../../../agent/control/settingsWatch.ts';
import { keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import { DEFAULT_SETTINGS } from '../../../../core/settings.ts';
import { atRest, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');

function setUp() {
  const store = new ScriptedStore();
  let refused = 0;
  const events = {
    refused: () => {
      refused++;
    },
  };
  const watch = new SettingsWatch({ store, keys, log: silentLog, events });
  const put = async (value: unknown) => {
    store.put(keys.settings, value);
    await atRest();
  };
  return { store, watch, put, refused: () => refused };
}

describe('the settings in force', () => {
  it('are the defaults of version 0 until there are some', async () => {
    const { watch } = setUp();
    await atRest();
    expect(watch.version).to.equal(0);
    expect(watch.settings).to.deep.equal(DEFAULT_SETTINGS);
  });

  it('are those that etcd holds, with defaults for what is left out', async () => {
    const { watch, put, refused } = setUp();
    await put({ version: 4, values: { leaseMs: 4_000 } });
    expect(watch.version).to.equal(4);
    expect(watch.settings).to.deep.equal({ ...DEFAULT_SETTINGS, leaseMs: 4_000 });
    expect(refused()).to.equal(0);
  });

  const BAD: [string, unknown][] = [
    ['no JSON', '{'],
    ['no object', '7'],
    ['no version', { values: {} }],
    ['a version that is no number', { version: '5', values: {} }],
    ['no values', { version: 5 }],
    ['one value out of range', { version: 5, values: { leaseMs: 1, heartbeatMs: 100 } }],
    ['an unknown name', { version: 5, values: { heartbeatMs: 100, lease: 4_000 } }],
    ['a broken relation', { version: 5, values: { heartbeatMs: 1_000, leaseMs: 2_000 } }],
  ];
  for (const [name, value] of BAD) {
    it(`stay as they are, all of them, when a change has ${name}`, async () => {
      const { watch, put, refused, store } = setUp();
      await put({ version: 4, values: { leaseMs: 4_000 } });
      await put(value);
      store.touchViews();
      await atRest();
      expect(watch.version).to.equal(4);
      expect(watch.settings).to.deep.equal({ ...DEFAULT_SETTINGS, leaseMs: 4_000 });
      expect(refused(), 'counted once').to.equal(1);
      await put({ version: 6, values: {} });
      expect(watch.version).to.equal(6);
    });
  }

  it('stay when the key goes', async () => {
    const { watch, put, store } = setUp();
    await put({ version: 4, values: { leaseMs: 4_000 } });
    store.delete(keys.settings);
    await atRest();
    expect(watch.version).to.equal(4);
  });

  it('are not those of a key that only begins the same', async () => {
    const { watch, store } = setUp();
    store.put(`${keys.settings}-of-before`, { version: 9, values: {} });
    await atRest();
    expect(watch.version).to.equal(0);
  });
});
