/** Accounts in a real etcd: what each name may and may not, made by several at once and by one that dies at every step, and changed while others work. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Etcd3 } from 'etcd3';
import { accountsOf } from '../../../core/accounts.ts';
import type { VolumeUid } from '../../../core/ids.ts';
import { keysOf } from '../../../core/keys.ts';
import { silentLog } from '../../../core/log.ts';
import type { Change } from '../../../core/store.ts';
import { SCHEMA_OF_RECORDS } from '../../../core/versions.ts';
import { EtcdAccounts, schemaInForce } from '../../../edge/etcd/accounts.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { openClient } from '../../../edge/etcd/endpoints.ts';
import { type Certificates, loadCertificates } from '../../../edge/tls.ts';
import { Authority } from '../../../tools/local/certificates.ts';
import { type EtcdProcess, startSingleEtcd } from '../../support/etcd.ts';
import { until } from '../../support/until.ts';

const keys = keysOf('test');
const OPERATOR = 'operator:operator';
const uid = 'u-1' as VolumeUid;

/** What a program that dies at its second change has done. */
function dyingAfterOneChange(client: Etcd3): { auth: Etcd3['auth'] } {
  let changes = 0;
  const auth = new Proxy(client.auth, {
    get(target, name: keyof Etcd3['auth']) {
      const method = (target[name] as (...given: unknown[]) => Promise<unknown>).bind(target);
      if (!/Add|Grant|Enable|Delete/.test(String(name))) return method;
      return async (...given: unknown[]) => {
        if (changes > 0) throw new Error('the program died');
        const result = await method(...given);
        changes++;
        return result;
      };
    },
  });
  return { auth };
}

describe('accounts in etcd', function () {
  this.timeout(60_000);
  let directory: string;
  let authority: Authority;
  let etcd: EtcdProcess;
  let root: Etcd3;
  let agent: StoreConnection;
  const opened: { connections: StoreConnection[]; certificates: Certificates[] } = { connections: [], certificates: [] };
  const wantedUnder = (schema: number, ...nodes: string[]) => accountsOf(keys, 'test', { operators: [OPERATOR], nodes, schema });
  const wanted = (...nodes: string[]) => wantedUnder(SCHEMA_OF_RECORDS, ...nodes);

  const certificatesOf = async (commonName: string): Promise<Certificates> => {
    const place = path.join(directory, commonName.replace(':', '-'));
    const made = await loadCertificates(await authority.issue(place, { commonName, organizations: [] }), silentLog);
    opened.certificates.push(made);
    return made;
  };
  const as = async (commonName: string): Promise<StoreConnection> => {
    const connection = connectStore(
      { endpoints: [etcd.url], certificates: await certificatesOf(commonName), leaseTtlSeconds: 3 },
      silentLog,
    );
    opened.connections.push(connection);
    return connection;
  };
  const outcome = (connection: StoreConnection, ...changes: Change[]): Promise<string> =>
    connection.store.commit([], changes).then(
      ({ committed }) => `${committed}`,
      (error: Error) => error.message,
    );

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'hf-accounts-'));
    authority = await Authority.open(path.join(directory, 'ca'), 'holdfast test');
    etcd = await startSingleEtcd(
      await authority.issue(path.join(directory, 'etcd'), { commonName: 'etcd', organizations: [] }, ['127.0.0.1']),
    );
    root = openClient(etcd.url, (await certificatesOf(OPERATOR)).material);
  });
  after(async () => {
    root?.close();
    for (const connection of opened.connections) await connection.close();
    for (const certificates of opened.certificates) certificates.close();
    await etcd?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  it('are made by one that dies at every step and goes on, and then by two at once without another change', async () => {
    let deaths = 0;
    for (; deaths < 100; deaths++) {
      const dying = dyingAfterOneChange(root) as Etcd3;
      const died = await new EtcdAccounts('test').keep(dying, wanted('node-a', 'node-ab')).then(
        () => false,
        () => true,
      );
      if (!died) break;
    }
    expect(deaths).to.be.within(10, 99);
    const two = await Promise.all([1, 2].map(() => new EtcdAccounts('test').keep(root, wanted('node-a', 'node-ab'))));
    expect(two).to.deep.equal([0, 0]);
    const { roles } = await root.auth.userGet({ name: 'agent:node-a' });
    expect([...roles].sort()).to.deep.equal(['test:agent:node-a', 'test:agents']);
  });

  it('let an agent do what it does: its machine under its lease, its tasks, and what belongs to volumes', async () => {
    agent = await as('agent:node-a');
    await until('a lease', () => agent.lease.isAlive);
    expect(await outcome(agent, { put: keys.machine('node-a'), value: 'here', leased: true })).to.equal('true');
    for (const key of [
      keys.task('node-a', 't'),
      keys.primary('node-a', uid),
      keys.bell('node-ab', uid),
      keys.servingOf(uid),
      keys.claim('t'),
      keys.historyOf('t'),
    ])
      expect(await outcome(agent, { put: key, value: 'x' }), key).to.equal('true');
    expect((await agent.store.list(keys.root)).entries.map(({ key }) => key)).to.include(keys.primary('node-a', uid));
    const view = agent.store.view(keys.settings, () => undefined);
    await until('the settings are seen', () => view.isCurrent);
    view.close();
    await agent.lease.revoke();
    agent = await as('agent:node-a');
  });

  const forbidden: [string, Change][] = [
    ['say that it leads', { put: keys.leader, value: 'x' }],
    ['change the settings', { put: keys.settings, value: 'x' }],
    ['say that a volume was deleted', { put: keys.deletedOf(uid), value: 'x' }],
    ['change the config of a volume', { put: keys.volume(uid), value: 'x' }],
    ['take the config of a volume away', { delete: keys.volume(uid) }],
    ['say that a volume concerns a node', { put: keys.pointer('node-a', uid), value: '1' }],
    ['change a config as the primary on another node', { put: keys.primary('node-ab', uid), value: 'x' }],
    ['take away what another primary has changed', { delete: keys.primary('node-b', uid) }],
    ['be another machine', { put: keys.machine('node-b'), value: 'x' }],
    ['be a machine whose name begins as its own', { put: keys.machine('node-ab'), value: 'x' }],
    ['take another machine away', { delete: keys.machine('node-ab') }],
    ['file a task for another node', { put: keys.task('node-ab', 'delete-r'), value: 'x' }],
    ["end another node's task", { delete: keys.task('node-ab', 'delete-r') }],
    ['write anything outside of its cluster', { put: '/registry/secrets/x', value: 'x' }],
    ["write another cluster's", { put: keysOf('other').volume(uid), value: 'x' }],
  ];
  for (const [what, change] of forbidden) {
    it(`do not let an agent ${what}`, async () => {
      expect(await outcome(agent, change)).to.match(/etcd refused: .*permission denied.*nothing was changed/);
      expect(await outcome(agent, { put: keys.claim('beside'), value: 'x' }, change)).to.match(/permission denied/);
      expect(await agent.store.get(keys.claim('beside'))).to.equal(null);
    });
  }

  it('do not let an agent read what is not of its cluster, nor see or change accounts, nor defragment', async () => {
    const read = await agent.store.list('/registry/').catch((error: Error) => error.message);
    expect(read).to.match(/permission denied/);
    const client = openClient(etcd.url, (await certificatesOf('agent:node-a')).material);
    const refused = async (run: () => Promise<unknown>) =>
      run().then(
        () => 'done',
        (error: Error) => error.message,
      );
    expect(await refused(() => client.auth.userList())).to.match(/permission denied/);
    expect(await refused(() => client.auth.userAdd({ name: 'me', options: { no_password: true } }))).to.match(/permission denied/);
    expect(await refused(() => client.auth.authDisable())).to.match(/permission denied/);
    expect(await refused(() => client.maintenance.defragment())).to.match(/permission denied|not permitted/);
    client.close();
  });

  it('let a certificate without an account do nothing', async () => {
    const other = await as('metrics:prometheus');
    expect(await other.store.get(keys.leader).catch((error: Error) => error.message)).to.match(/permission denied/);
    expect(await outcome(other, { put: keys.claim('x'), value: 'x' })).to.match(/permission denied/);
  });

  it('are changed while an agent works: none of its calls fails, and its view goes on', async () => {
    const view = agent.store.view(keys.primaries, () => undefined);
    await until('the view is current', () => view.isCurrent);
    const accounts = new EtcdAccounts('test');
    let isChanging = true;
    let calls = 0;
    const work = async () => {
      for (; isChanging; calls++) {
        await agent.store.commit([], [{ put: keys.primary('node-a', uid), value: `${calls}` }]);
        await agent.store.get(keys.primary('node-a', uid));
      }
    };
    const working = work();
    for (let round = 0; round < 10; round++) await accounts.keep(root, wanted('node-a', 'node-ab', `node-${round}`), true);
    isChanging = false;
    await working;
    expect(calls).to.be.above(0);
    await until('the last is seen', () => view.entries.get(keys.primary('node-a', uid))?.value === `${calls - 1}`);
    expect(view.isCurrent).to.equal(true);
    view.close();
    expect((await root.auth.userList()).users.sort()).to.deep.equal(
      ['agent:node-9', 'agent:node-a', 'agent:node-ab', OPERATOR, 'root'].sort(),
    );
  });

  it('are of the schema in force: of the first, configs are written by agents; from the second on it is taken from them, and given back to nobody', async () => {
    const change: Change = { put: keys.volume(uid), value: 'x' };
    const accounts = new EtcdAccounts('test');
    await root.delete().key(keys.schema);
    expect(await schemaInForce(root, keys.schema)).to.equal(1);
    expect(await accounts.keep(root, wantedUnder(1, 'node-a', 'node-ab'))).to.equal(2);
    expect(await outcome(agent, change, { put: keys.pointer('node-ab', uid), value: '1' })).to.equal('true');
    await root.put(keys.schema).value(JSON.stringify({ version: 2, lowestReader: 2, writtenBy: 'a test' }));
    expect(await schemaInForce(root, keys.schema)).to.equal(2);
    expect(await accounts.keep(root, wantedUnder(2, 'node-a', 'node-ab'))).to.equal(2);
    expect(await outcome(agent, change)).to.match(/permission denied/);
    expect(await outcome(agent, { put: keys.primary('node-a', uid), value: 'x' })).to.equal('true');
    expect(await accounts.keep(root, wantedUnder(2, 'node-a', 'node-ab'))).to.equal(0);
  });

  it('that are taken away end what their node may do at once', async () => {
    await new EtcdAccounts('test').keep(root, wanted('node-ab'), true);
    expect(await outcome(agent, { put: keys.machine('node-a'), value: 'x' })).to.match(/permission denied/);
    expect(await agent.store.get(keys.settings).catch((error: Error) => error.message)).to.match(/permission denied/);
  });
});
