import { expect } from 'chai';
import { keysOf } from '../../../core/keys.ts';
import { ConfigurationError } from '../../../core/parameters.ts';
import { DEFAULT_SETTINGS, type VersionedSettings } from '../../../core/settings.ts';
import { claimGeneration } from '../../../operator/election/generation.ts';
import { publishSettings } from '../../../operator/reconcile/settings.ts';
import { operatorSettings } from '../../../operator/settings.ts';
import { ScriptedStore } from '../../support/scriptedStore.ts';

const GOOD = { NAME: 'operator-0', ETCD_ENDPOINTS: 'https://127.0.0.1:1', KUBERNETES_SERVICE_HOST: '10.0.0.1' };
const TLS = { '/etc/holdfast/tls/ca.crt': '', '/etc/holdfast/tls/tls.crt': '', '/etc/holdfast/tls/tls.key': '' };
const read = (files: Record<string, string>) => (path: string) => {
  const text = { ...TLS, ...files }[path];
  if (text === undefined) throw new Error('no such file');
  return text;
};

function problemsOf(environment: Record<string, string>, files: Record<string, string> = {}): string[] {
  try {
    operatorSettings(environment, read(files));
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems.map(({ key, rule }) => `${key} ${rule}`);
    throw error;
  }
  return [];
}

describe('operator: its configuration', () => {
  it('has a default for all but its name and etcd', () => {
    const { agents, limits, parameters } = operatorSettings(GOOD, read({}));
    expect(agents).to.deep.equal(DEFAULT_SETTINGS);
    expect(limits).to.deep.equal({ overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 });
    expect(parameters).to.deep.include({
      rebalance: 'on',
      pressurePercent: 85,
      namespace: 'holdfast-system',
      leaseName: 'operator.holdfast.dev',
      kubeconfig: '',
    });
  });

  it("takes every agent's settings as JSON, or from a file", () => {
    expect(operatorSettings({ ...GOOD, SETTINGS: '{"heartbeatMs":100}' }, read({})).agents.heartbeatMs).to.equal(100);
    expect(operatorSettings({ ...GOOD, SETTINGS_FILE: '/s' }, read({ '/s': '{\n"heartbeatMs": 50\n}\n' })).agents.heartbeatMs).to.equal(50);
  });

  const bad: [says: string, environment: Record<string, string>, problems: (string | RegExp)[]][] = [
    ['what is missing', {}, [/^ETCD_ENDPOINTS must be set/, /^NAME must be set/, /^KUBECONFIG must be set: this is no pod of a cluster/]],
    [
      'files that are not there',
      { ...GOOD, TLS_CERT: '/x', KUBECONFIG: '/y' },
      [/^KUBECONFIG cannot be read: no such file$/, /^TLS_CERT cannot be read: no such file$/],
    ],
    ['settings that are no JSON', { ...GOOD, SETTINGS: '{' }, [/^SETTINGS must be JSON/]],
    [
      'settings out of range, unknown ones, and what else is wrong',
      { ...GOOD, SETTINGS: '{"heartbeatMs":1,"color":2}', RESERVE_PERCENT: '99' },
      [
        /^RESERVE_PERCENT must be a whole number from 0 to 50/,
        /^SETTINGS.color is not a setting$/,
        /^SETTINGS.heartbeatMs must be a whole number from 20 to 10000/,
      ],
    ],
    [
      'relations between settings',
      { ...GOOD, SETTINGS: '{"heartbeatMs":1000,"leaseMs":2000}' },
      [/^SETTINGS.leaseMs must be 0, or at least 200 and 4 x heartbeatMs \(1000\)$/],
    ],
    ['a file that is not there', { ...GOOD, SETTINGS_FILE: '/s' }, [/^SETTINGS_FILE cannot be read: no such file$/]],
    [
      'both ways at once',
      { ...GOOD, SETTINGS: '{}', SETTINGS_FILE: '/s' },
      [/^SETTINGS_FILE may not be set together with SETTINGS$/, /^SETTINGS_FILE cannot be read/],
    ],
  ];
  for (const [says, environment, problems] of bad) {
    it(`names all that is wrong: ${says}`, () => {
      const found = problemsOf(environment);
      expect(found.length).to.equal(problems.length, found.join('; '));
      for (const problem of problems)
        expect(found.some((one) => (typeof problem === 'string' ? one === problem : problem.test(one)))).to.equal(
          true,
          `${problem} in ${found.join('; ')}`,
        );
    });
  }
});

describe('operator: publishing the settings', () => {
  const keys = keysOf('test');
  const publish = async (store: ScriptedStore, values = DEFAULT_SETTINGS) =>
    (await publishSettings(store, keys, await claimGeneration(store, keys, `p${Math.floor(store.landed.length)}`, 1), values)).kind;
  const stored = (store: ScriptedStore) => store.json<VersionedSettings>(keys.settings);

  it('begins with version 1', async () => {
    const store = new ScriptedStore();
    expect(await publish(store)).to.equal('committed');
    expect(stored(store)).to.deep.equal({ version: 1, values: DEFAULT_SETTINGS, configured: DEFAULT_SETTINGS });
  });

  it('raises the version only when a value changed', async () => {
    const store = new ScriptedStore();
    await publish(store);
    expect(await publish(store)).to.equal('unchanged');
    expect(await publish(store, { ...DEFAULT_SETTINGS, heartbeatMs: 100 })).to.equal('committed');
    expect(stored(store)?.version).to.equal(2);
  });

  it('writes nothing once another leads', async () => {
    const store = new ScriptedStore();
    const old = await claimGeneration(store, keys, 'old', 1);
    await claimGeneration(store, keys, 'new', 2);
    expect(await publishSettings(store, keys, old, DEFAULT_SETTINGS)).to.deep.equal({ kind: 'fenced' });
    expect(stored(store)).to.equal(null);
  });

  it('writes anew what cannot be read', async () => {
    const store = new ScriptedStore();
    store.put(keys.settings, 'nonsense');
    expect(await publish(store)).to.equal('committed');
    expect(stored(store)?.version).to.equal(1);
  });

  it('writes nothing over settings of a later version', async () => {
    const store = new ScriptedStore();
    const later = { version: 4, values: { ...DEFAULT_SETTINGS, patience: 7 }, configured: DEFAULT_SETTINGS };
    store.put(keys.settings, later);
    const leadership = await claimGeneration(store, keys, 'p', 1);
    expect(await publishSettings(store, keys, leadership, { ...DEFAULT_SETTINGS, heartbeatMs: 100 })).to.deep.equal({
      kind: 'contradiction',
      problems: [{ key: 'patience', value: 7, rule: 'is not a setting' }],
    });
    expect(stored(store)).to.deep.equal(later);
  });
});
