/**
 * The signer and the identity as programs, over a real API server with their own accounts and rights: who gets which certificate, two signers at once, accounts in etcd,
 * renewal, and the exchange of the authority.
 */
import { X509Certificate } from 'node:crypto';
import path from 'node:path';
import { expect } from 'chai';
import { keysOf } from '../../../core/keys.ts';
import { type Log, silentLog } from '../../../core/log.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { openClient } from '../../../edge/etcd/endpoints.ts';
import { isSignedBy } from '../../../edge/issuing.ts';
import { type Certificates, loadCertificates, type TlsFiles } from '../../../edge/tls.ts';
import type { KubeObject } from '../../../operator/api.ts';
import { type EtcdProcess, startSingleEtcd } from '../../support/etcd.ts';
import { FIRST_START_MS } from '../../support/operator/realCluster.ts';
import { BOUND_MS, denial, LEAVES, NAMESPACE, SignerWorld } from '../../support/operator/signerWorld.ts';
import { until } from '../../support/until.ts';

const STATEFUL_SET = `/apis/apps/v1/namespaces/${NAMESPACE}/statefulsets/holdfast-etcd`;
type StatefulSet = KubeObject & { spec: { template: { metadata: { annotations?: Record<string, string> } } }; status?: object };

/** Without a controller: what it would tell is told by the test. */
class PlayedEtcdSet {
  readonly #world: SignerWorld;

  constructor(world: SignerWorld) {
    this.#world = world;
  }

  async make(): Promise<void> {
    const labels = { app: 'etcd' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'etcd', image: 'none' }] } };
    const spec = { serviceName: 'x', replicas: 1, selector: { matchLabels: labels }, template };
    await this.#world.apply([
      { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'holdfast-etcd', namespace: NAMESPACE }, spec },
    ]);
  }

  async isAskedToRoll(): Promise<boolean> {
    const set = await this.#world.api.get<StatefulSet>(STATEFUL_SET);
    return set?.spec.template.metadata.annotations?.['holdfast.dev/trust'] !== undefined;
  }

  /** Every member has started anew. */
  async rolled(): Promise<void> {
    const set = await this.#world.api.get<StatefulSet>(STATEFUL_SET);
    if (set === null) throw new Error('there is no StatefulSet');
    const status = { replicas: 1, readyReplicas: 1, updatedReplicas: 1, observedGeneration: set.metadata.generation };
    await this.#world.api.replace(`${STATEFUL_SET}/status`, { ...set, status });
  }
}

/** An etcd with the certificate that the signer made for it, and who asks it. */
class PlayedStore {
  readonly etcd: EtcdProcess;
  readonly #connections: StoreConnection[] = [];
  readonly #certificates: Certificates[] = [];

  private constructor(etcd: EtcdProcess) {
    this.etcd = etcd;
  }

  static async start(world: SignerWorld): Promise<PlayedStore> {
    return new PlayedStore(await startSingleEtcd(await world.filesOf('holdfast-etcd-tls')));
  }

  async as(tls: TlsFiles, log: Log = silentLog): Promise<StoreConnection> {
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints: [this.etcd.url], certificates, leaseTtlSeconds: 3 }, log);
    this.#certificates.push(certificates);
    this.#connections.push(connection);
    return connection;
  }

  async users(tls: TlsFiles): Promise<string[]> {
    const certificates = await loadCertificates(tls, silentLog);
    const client = openClient(this.etcd.url, certificates.material);
    try {
      return (await client.auth.userList()).users;
    } finally {
      client.close();
      certificates.close();
    }
  }

  async remove(): Promise<void> {
    for (const connection of this.#connections) await connection.close();
    for (const certificates of this.#certificates) certificates.close();
    await this.etcd.remove();
  }
}

const may = ({ store }: StoreConnection, key: string): Promise<boolean> =>
  store.commit([], [{ put: key, value: 'x' }]).then(
    () => true,
    () => false,
  );

describe('operator: signer', function () {
  this.timeout(240_000);
  let world: SignerWorld;

  before(async function () {
    this.timeout(FIRST_START_MS);
    world = await SignerWorld.open();
    await world.pod('agent-node-a', 'node-a', '10.0.0.5');
    await world.pod('agent-node-b', 'node-b', '10.0.0.6');
    await world.pod('other', 'node-a', '10.0.0.7', 'stranger');
  });
  after(() => world?.close());

  it('makes one authority, however many signers begin at once, and a certificate of it in each Secret', async () => {
    const two = await Promise.all([world.signer('signer-0'), world.signer('signer-1')]);
    await until('the certificates are there', () => world.isThere('holdfast-operator-tls'), BOUND_MS);
    const authority = (await world.secret('holdfast-ca'))['tls.crt'];
    expect(await world.trust()).to.deep.equal([authority]);
    for (const leaf of LEAVES) {
      const data = await world.secret(leaf.secret);
      const certificate = new X509Certificate(data['tls.crt'] ?? '');
      expect([certificate.subject, data['ca.crt']]).to.deep.equal([`CN=${leaf.commonName}`, authority]);
      expect(isSignedBy(data['tls.crt'] ?? '', authority ?? '')).to.equal(true);
    }
    // What one has made the other leaves alone.
    await until('both run', () => two.every(({ output }) => output.includes('program started')), BOUND_MS);
    expect(two.map((one) => one.said('authority made')).sort()).to.deep.equal([0, 1]);
  });

  it("gives an agent a certificate of its node's name and the pod's addresses, through its identity", async () => {
    const place = await world.identity('node-a', '10.0.0.5');
    await until('the certificate is there', async () => (await world.held(place)).certificate !== '', BOUND_MS);
    const { certificate, ca } = await world.held(place);
    const read = new X509Certificate(certificate);
    expect([read.subject, read.subjectAltName]).to.deep.equal(['CN=agent:node-a', 'DNS:node-a, IP Address:10.0.0.5']);
    expect(isSignedBy(certificate, ca)).to.equal(true);
  });

  it('denies an agent the name of another node, of an operator and of etcd, with a sentence', async () => {
    const config = await world.kubeconfig('holdfast-agent', 'agent-node-a');
    const refused = /is asked for by an agent of node node-a, which may be agent:node-a only/;
    for (const name of ['agent:node-b', 'operator:operator', 'etcd']) expect(denial(await world.ask(config, name))).to.match(refused);
    expect((await world.ask(config, 'agent:node-a', ['node-a'])).status?.certificate).not.to.equal(undefined);
  });

  it('denies another service account on the same node, and a token of the agents that is bound to no pod', async () => {
    const stranger = await world.kubeconfig('stranger', 'other');
    expect(denial(await world.ask(stranger, 'agent:node-a'))).to.match(/:stranger asks; only .*:holdfast-agent may have/);
    expect(denial(await world.ask(await world.kubeconfig('holdfast-agent'), 'agent:node-a'))).to.match(/not bound to a pod on a node/);
  });

  it('lets an agent read neither the authority nor any other Secret, and approve nothing', async () => {
    const config = await world.kubeconfig('holdfast-agent', 'agent-node-a');
    const can = (...words: string[]) =>
      world.cluster.kubectl(['auth', 'can-i', ...words, '--namespace', NAMESPACE, '--kubeconfig', config]).then(
        () => true,
        () => false,
      );
    const asked = [
      can('get', 'secret/holdfast-ca'),
      can('get', 'secret/holdfast-operator-tls'),
      can('update', 'certificatesigningrequests/approval'),
      can('get', 'configmap/holdfast-trust'),
    ];
    expect(await Promise.all(asked)).to.deep.equal([false, false, false, true]);
  });

  it('opens an account in etcd for each agent that is there, and takes away that of a node which is gone', async () => {
    const store = await PlayedStore.start(world);
    try {
      const accounts = { ETCD_ACCOUNTS: 'on', ETCD_ENDPOINTS: store.etcd.url };
      const two = await Promise.all([world.signer('signer-2', accounts), world.signer('signer-3', accounts)]);
      const operators = await world.filesOf('holdfast-operator-tls');
      const place = path.join(world.directory, 'identity-node-a');
      const agents = { ca: path.join(place, 'ca.crt'), cert: path.join(place, 'tls.crt'), key: path.join(place, 'tls.key') };
      await until('the accounts are there', () => two.some((one) => one.said('accounts in etcd changed') > 0), BOUND_MS);
      const said: string[] = [];
      const [agent, operator] = [await store.as(agents, { ...silentLog, warn: (text) => void said.push(text) }), await store.as(operators)];
      const keys = keysOf('default');
      await until('the agent may write what is its own', () => may(agent, keys.machine('node-a')), BOUND_MS);
      expect([await may(agent, keys.machine('node-b')), await may(agent, keys.leader)]).to.deep.equal([false, false]);
      expect(said[0]).to.match(/^etcd refuses this: this certificate's name has no account/);
      expect(await may(operator, keys.leader)).to.equal(true);
      await world.pod('agent-node-x', 'node-x', '10.0.0.9');
      await until('a new node has one', async () => (await store.users(operators)).includes('agent:node-x'), BOUND_MS);
      await world.cluster.kubectl(['delete', 'pod', 'agent-node-x', '--namespace', NAMESPACE, '--grace-period=0', '--force']);
      await until('and none when it is gone', async () => !(await store.users(operators)).includes('agent:node-x'), BOUND_MS);
      expect(await may(agent, keys.machine('node-a'))).to.equal(true);
    } finally {
      // They keep asking the etcd that goes.
      await world.stopAll();
      await store.remove();
    }
  });

  it('does not sign what somebody else approved for the wrong one', async () => {
    await world.stopAll();
    const name = await world.file(await world.kubeconfig('holdfast-agent', 'agent-node-a'), 'operator:operator');
    await world.cluster.kubectl(['certificate', 'approve', name]);
    const one = await world.signer('signer-0');
    await until('it is told', () => one.said('request was approved by somebody, and is not signed') > 0, BOUND_MS);
    expect((await world.request(name))?.status?.certificate).to.equal(undefined);
    await world.stopAll();
  });

  it('renews certificates of short lives, exchanges the authority when it is asked to, and nobody is without trust meanwhile', async () => {
    const etcd = new PlayedEtcdSet(world);
    await etcd.make();
    const times = { LEAF_SECONDS: '20', SPREAD_SECONDS: '2', CA_SECONDS: '3600', ETCD_STATEFULSET: 'holdfast-etcd' };
    await Promise.all([world.signer('signer-0', times), world.signer('signer-1', times)]);
    const place = await world.identity('node-b', '10.0.0.6');
    const old = (await world.secret('holdfast-ca'))['tls.crt'];
    await until('the identity has one', async () => (await world.held(place)).certificate !== '', BOUND_MS);
    expect(await etcd.isAskedToRoll(), 'nothing has changed that etcd was not started with').to.equal(false);
    await world.cluster.kubectl(['annotate', 'secret', 'holdfast-ca', 'holdfast.dev/rotate=now', '--namespace', NAMESPACE]);
    await until('both are trusted', async () => (await world.trust()).length === 2, BOUND_MS);
    await until('etcd is rolled', () => etcd.isAskedToRoll(), BOUND_MS);
    // A leaf is renewed at two thirds of its 20 s: far longer than the spread.
    const shownBefore = (await world.held(place)).certificate;
    await until('the identity is renewed', async () => (await world.held(place)).certificate !== shownBefore, BOUND_MS);
    expect((await world.trust())[0], 'the old one issues while etcd is not back').to.equal(old);
    await etcd.rolled();
    const [fresh = ''] = await until('the new one issues', async () => ((await world.trust())[0] !== old ? world.trust() : null), BOUND_MS);
    // At every look what is shown is trusted by the trust of now.
    const areAllFresh = async () => {
      const secrets = await Promise.all(LEAVES.map(async ({ secret }) => (await world.secret(secret))['tls.crt'] ?? ''));
      const shown = [...secrets, (await world.held(place)).certificate];
      const trusted = await world.trust();
      for (const certificate of shown) expect(trusted.some((authority) => isSignedBy(certificate, authority))).to.equal(true);
      return shown.every((certificate) => isSignedBy(certificate, fresh));
    };
    await until('all certificates are of the new one', areAllFresh, BOUND_MS);
    await until('the old one is forgotten', async () => (await world.trust()).length === 1, BOUND_MS);
    expect(await world.trust()).to.deep.equal([fresh]);
    expect(Object.keys(await world.secret('holdfast-ca')).sort()).to.deep.equal(['tls.crt', 'tls.key']);
    const before = (await world.held(place)).certificate;
    await until('the identity is renewed', async () => (await world.held(place)).certificate !== before, BOUND_MS);
  });

  it('writes no key and no token to any log', async () => {
    const said = world.everRan.map(({ output }) => output).join('');
    expect(said).to.contain('certificate issued');
    expect(said).not.to.match(/PRIVATE KEY|eyJ[\w-]+\.[\w-]+\./);
    for (const name of ['holdfast-ca', ...LEAVES.map(({ secret }) => secret)]) {
      const key = (await world.secret(name))['tls.key']?.split('\n')[1] ?? '';
      expect(key.length).to.be.above(30);
      expect(said).not.to.contain(key);
    }
  });
});
