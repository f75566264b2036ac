/**
 * The signer and the identity as programs, over a real API server with their own accounts and rights: who gets which certificate, two signers at once, renewal, and
 * the exchange of the authority. Kubelets are played: pods and their tokens are made by the test.
 */

import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { certificatesIn, isSignedBy, makeRequest } from '../../../edge/issuing.ts';
import { KubeConnection } from '../../../edge/kube/connection.ts';
import type { KubeObject } from '../../../operator/api.ts';
import { HttpKubeApi } from '../../../operator/edge/kubeApi.ts';
import { type Cluster, startCluster } from '../../../tools/local/cluster.ts';
import { FIRST_START_MS } from '../../support/operator/realCluster.ts';
import { ProgramProcess } from '../../support/programs.ts';
import { until } from '../../support/until.ts';

const NAMESPACE = 'holdfast-system';
/** Programs start slowly beside others. */
const BOUND_MS = 60_000;
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const LEAVES = [
  { secret: 'holdfast-etcd-tls', commonName: 'etcd', names: ['localhost', '127.0.0.1'] },
  { secret: 'holdfast-operator-tls', commonName: 'operator:operator', names: [] },
];

type Secret = { data: Record<string, string> };
type Request = { status?: { certificate?: string; conditions?: { type: string; message: string }[] } };
const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString();

/** As operator/certificates/README.md says. */
function rights(): object[] {
  const group = 'rbac.authorization.k8s.io';
  const objects: object[] = [];
  const bind = (kind: 'Role' | 'ClusterRole', account: string, rules: object[]): void => {
    const metadata = { name: account, ...(kind === 'Role' ? { namespace: NAMESPACE } : {}) };
    objects.push({ apiVersion: `${group}/v1`, kind, metadata, rules });
    const subjects = [{ kind: 'ServiceAccount', name: account, namespace: NAMESPACE }];
    objects.push({
      apiVersion: `${group}/v1`,
      kind: `${kind}Binding`,
      metadata,
      roleRef: { apiGroup: group, kind, name: account },
      subjects,
    });
  };
  const certificates = (resources: string[], verbs: string[], more: object = {}) => ({
    apiGroups: ['certificates.k8s.io'],
    resources,
    verbs,
    ...more,
  });
  bind('ClusterRole', 'holdfast-signer', [
    certificates(['certificatesigningrequests'], ['get', 'list', 'watch', 'delete']),
    certificates(['certificatesigningrequests/approval', 'certificatesigningrequests/status'], ['update']),
    certificates(['signers'], ['approve', 'sign'], { resourceNames: ['holdfast.dev/agent'] }),
  ]);
  bind('Role', 'holdfast-signer', [
    { apiGroups: [''], resources: ['secrets', 'configmaps'], verbs: ['create'] },
    {
      apiGroups: [''],
      resources: ['secrets'],
      resourceNames: ['holdfast-ca', ...LEAVES.map(({ secret }) => secret)],
      verbs: ['get', 'update'],
    },
    { apiGroups: [''], resources: ['configmaps'], resourceNames: ['holdfast-trust'], verbs: ['get', 'update'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
  ]);
  for (const account of ['holdfast-agent', 'stranger'])
    bind('ClusterRole', account, [certificates(['certificatesigningrequests'], ['create', 'get'])]);
  bind('Role', 'holdfast-agent', [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['holdfast-trust'], verbs: ['get'] }]);
  return objects;
}

describe('operator: signer', function () {
  this.timeout(180_000);
  let cluster: Cluster;
  let connection: KubeConnection;
  let api: HttpKubeApi;
  let directory: string;
  const programs: ProgramProcess[] = [];

  const apply = (objects: object[]) =>
    cluster.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  // Not by kubectl, which takes a second of processor at each call.
  const core = (kind: string, name: string) => `/api/v1/namespaces/${NAMESPACE}/${kind}/${name}`;
  const secret = async (name: string): Promise<Secret> => {
    const found = await api.get<KubeObject & Secret>(core('secrets', name));
    expect(found, name).not.to.equal(null);
    return found as Secret;
  };
  const trust = async (): Promise<string[]> => {
    const found = await api.get<KubeObject & { data: Record<string, string> }>(core('configmaps', 'holdfast-trust'));
    return certificatesIn(found?.data['ca.crt'] ?? '');
  };

  /** A pod on a node, as the kubelet tells of it. */
  async function pod(name: string, node: string, account = 'holdfast-agent', address = '10.0.0.5'): Promise<void> {
    const metadata = { name, namespace: NAMESPACE };
    const spec = { nodeName: node, serviceAccountName: account, containers: [{ name: 'agent', image: 'none' }] };
    await apply([
      { apiVersion: 'v1', kind: 'Node', metadata: { name: node } },
      { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    ]);
    const status = { podIPs: [{ ip: address }], podIP: address, hostIP: '192.168.0.5', hostIPs: [{ ip: '192.168.0.5' }] };
    await cluster.kubectl(['patch', 'pod', name, '--namespace', NAMESPACE, '--subresource=status', '-p', JSON.stringify({ status })]);
  }

  /** Of this account: by a token of a pod, or of nothing. */
  async function kubeconfig(account: string, boundTo?: string): Promise<string> {
    const bound = boundTo === undefined ? [] : ['--bound-object-kind=Pod', `--bound-object-name=${boundTo}`];
    const token = (await cluster.kubectl(['create', 'token', account, '--namespace', NAMESPACE, ...bound])).trim();
    const given = JSON.parse(await readFile(cluster.kubeconfig, 'utf8')) as { users: { name: string; user: object }[] };
    const file = path.join(directory, `${account}-${boundTo ?? 'unbound'}.kubeconfig`);
    await writeFile(file, JSON.stringify({ ...given, users: given.users.map(({ name }) => ({ name, user: { token } })) }), { mode: 0o600 });
    return file;
  }

  async function ask(config: string, commonName: string, names: string[] = []): Promise<Request> {
    const { request } = await makeRequest({ commonName, organizations: [] }, names);
    const spec = {
      request: Buffer.from(request).toString('base64'),
      signerName: 'holdfast.dev/agent',
      usages: ['client auth', 'server auth', 'digital signature'],
    };
    const object = { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { generateName: 'asked-' }, spec };
    const name = (await cluster.kubectl(['create', '-o', 'name', '-f', '-', '--kubeconfig', config], JSON.stringify(object))).trim();
    const answered = async () => {
      const found = await api.get<KubeObject & Request>(`${REQUESTS}/${name.split('/')[1]}`);
      return found?.status?.certificate || found?.status?.conditions?.some(({ type }) => type === 'Denied') ? found : null;
    };
    return until(`${name} is answered`, answered, BOUND_MS);
  }

  const denial = (request: Request): string => request.status?.conditions?.find(({ type }) => type === 'Denied')?.message ?? 'granted';

  async function signer(name: string, change: Record<string, string> = {}): Promise<ProgramProcess> {
    const KUBECONFIG = await kubeconfig('holdfast-signer');
    const environment = { NAME: name, KUBECONFIG, LEAVES: JSON.stringify(LEAVES), LOOK_EVERY_MS: '200', ...change };
    const program = new ProgramProcess('operator/certificates/main.ts', environment);
    programs.push(program);
    return program;
  }

  async function identity(node: string, address: string): Promise<{ place: string; program: ProgramProcess }> {
    const place = path.join(directory, `identity-${node}`);
    const KUBECONFIG = await kubeconfig('holdfast-agent', `agent-${node}`);
    const environment = { NODE_NAME: node, KUBECONFIG, IDENTITY_DIR: place, ADDRESSES: address, LOOK_EVERY_MS: '200' };
    const program = new ProgramProcess('agent/identity/main.ts', environment);
    programs.push(program);
    return { place, program };
  }

  const held = async (place: string) => {
    const [certificate, ca] = await Promise.all(
      ['tls.crt', 'ca.crt'].map((file) => readFile(path.join(place, file), 'utf8').catch(() => '')),
    );
    return { certificate: certificate ?? '', ca: ca ?? '' };
  };

  before(async function () {
    this.timeout(FIRST_START_MS);
    directory = await mkdtemp(path.join(tmpdir(), 'hf-'));
    cluster = await startCluster({ directory: path.join(directory, 'c'), nodes: 0, operators: 0 });
    connection = new KubeConnection(cluster.kubeconfig);
    api = new HttpKubeApi(connection);
    const accounts = ['holdfast-signer', 'holdfast-agent', 'stranger'];
    await apply([
      ...accounts.map((name) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: NAMESPACE } })),
      ...rights(),
    ]);
    await pod('agent-node-a', 'node-a');
    await pod('agent-node-b', 'node-b', 'holdfast-agent', '10.0.0.6');
    await pod('other', 'node-a', 'stranger');
  });
  after(async () => {
    await Promise.all(programs.map((program) => program.stop('SIGKILL')));
    await connection?.close();
    await cluster?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('makes one authority, however many signers begin at once, and a certificate of it in each Secret', async () => {
    const two = await Promise.all([signer('signer-0'), signer('signer-1')]);
    await until('the certificates are there', () => api.get(core('secrets', 'holdfast-operator-tls')), BOUND_MS);
    const authority = decode((await secret('holdfast-ca')).data['tls.crt']);
    expect(await trust()).to.deep.equal([authority]);
    for (const leaf of LEAVES) {
      const { data } = await secret(leaf.secret);
      const certificate = new X509Certificate(decode(data['tls.crt']));
      expect([certificate.subject, decode(data['ca.crt'])]).to.deep.equal([`CN=${leaf.commonName}`, authority]);
      expect(isSignedBy(decode(data['tls.crt']), authority)).to.equal(true);
    }
    // What one has made the other leaves alone.
    await until('both have looked', () => two.every(({ output }) => output.includes('program started')), BOUND_MS);
    expect(two[0]?.said('authority made')).to.equal(1 - (two[1]?.said('authority made') ?? 0));
  });

  it("gives an agent a certificate of its node's name and the pod's addresses, through its identity", async () => {
    const { place } = await identity('node-a', '10.0.0.5');
    await until('the certificate is there', async () => (await held(place)).certificate !== '', BOUND_MS);
    const { certificate, ca } = await held(place);
    const read = new X509Certificate(certificate);
    expect([read.subject, read.subjectAltName]).to.deep.equal(['CN=agent:node-a', 'DNS:node-a, IP Address:10.0.0.5']);
    expect(isSignedBy(certificate, ca)).to.equal(true);
  });

  it('denies an agent the name of another node, of an operator and of etcd, with a sentence', async () => {
    const config = await kubeconfig('holdfast-agent', 'agent-node-a');
    expect(denial(await ask(config, 'agent:node-b'))).to.match(
      /^agent:node-b is asked for by an agent of node node-a, which may be agent:node-a only/,
    );
    expect(denial(await ask(config, 'operator:operator'))).to.match(/may be agent:node-a only/);
    expect(denial(await ask(config, 'etcd'))).to.match(/may be agent:node-a only/);
    expect((await ask(config, 'agent:node-a', ['node-a'])).status?.certificate).not.to.equal(undefined);
  });

  it('denies another service account on the same node, and a token of the agents that is bound to no pod', async () => {
    expect(denial(await ask(await kubeconfig('stranger', 'other'), 'agent:node-a'))).to.match(
      /:stranger asks; only .*:holdfast-agent may have/,
    );
    expect(denial(await ask(await kubeconfig('holdfast-agent'), 'agent:node-a'))).to.match(/not bound to a pod on a node/);
  });

  it('lets an agent read neither the authority nor any other Secret, and approve nothing', async () => {
    const config = await kubeconfig('holdfast-agent', 'agent-node-a');
    const may = (...words: string[]) =>
      cluster.kubectl(['auth', 'can-i', ...words, '--kubeconfig', config]).then(
        () => true,
        () => false,
      );
    for (const words of [
      ['get', 'secret/holdfast-ca'],
      ['list', 'secrets'],
      ['get', 'secret/holdfast-operator-tls'],
      ['list', 'pods'],
    ])
      expect(await may(...words, '--namespace', NAMESPACE), words.join(' ')).to.equal(false);
    expect(await may('update', 'certificatesigningrequests/approval')).to.equal(false);
    expect(await may('get', 'configmap/holdfast-trust', '--namespace', NAMESPACE)).to.equal(true);
  });

  it('does not sign what somebody else approved for the wrong one', async () => {
    const config = await kubeconfig('holdfast-agent', 'agent-node-a');
    // All signers rest, so that the administrator is first.
    await Promise.all(programs.splice(0).map((program) => program.stop()));
    const { request } = await makeRequest({ commonName: 'operator:operator', organizations: [] }, []);
    const spec = { request: Buffer.from(request).toString('base64'), signerName: 'holdfast.dev/agent', usages: ['client auth'] };
    const object = { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: 'approved' }, spec };
    await cluster.kubectl(['create', '-f', '-', '--kubeconfig', config], JSON.stringify(object));
    await cluster.kubectl(['certificate', 'approve', 'approved']);
    const one = await signer('signer-0');
    await until('it is told', () => one.said('request was approved by somebody, and is not signed') > 0, BOUND_MS);
    expect((await api.get<KubeObject & Request>(`${REQUESTS}/approved`))?.status?.certificate).to.equal(undefined);
    await one.stop();
  });

  it('renews certificates of short lives, exchanges the authority when it is asked to, and nobody is without trust meanwhile', async () => {
    const times = { LEAF_SECONDS: '20', SPREAD_SECONDS: '2', CA_SECONDS: '3600' };
    await Promise.all([signer('signer-0', times), signer('signer-1', times)]);
    const { place } = await identity('node-b', '10.0.0.6');
    const old = decode((await secret('holdfast-ca')).data['tls.crt']);
    await cluster.kubectl(['annotate', 'secret', 'holdfast-ca', 'holdfast.dev/rotate=now', '--namespace', NAMESPACE]);
    await until(
      'both are trusted, and the old one issues',
      async () => {
        const bundle = await trust();
        return bundle.length === 2 && bundle[0] === old;
      },
      BOUND_MS,
    );
    const fresh = (await until('the new one issues', async () => ((await trust())[0] !== old ? trust() : null), BOUND_MS))[0] ?? '';
    // At every look what is shown is trusted by the trust of now.
    await until(
      'all certificates are of the new one',
      async () => {
        const shown = [
          ...(await Promise.all(LEAVES.map(async (leaf) => decode((await secret(leaf.secret)).data['tls.crt'])))),
          (await held(place)).certificate,
        ];
        const trusted = await trust();
        for (const one of shown) expect(one === '' || trusted.some((authority) => isSignedBy(one, authority))).to.equal(true);
        return shown.every((one) => isSignedBy(one, fresh));
      },
      BOUND_MS,
    );
    await until('the old one is forgotten', async () => (await trust()).length === 1, BOUND_MS);
    expect(await trust()).to.deep.equal([fresh]);
    const data = (await secret('holdfast-ca')).data;
    expect(Object.keys(data).sort()).to.deep.equal(['tls.crt', 'tls.key']);
    const before = (await held(place)).certificate;
    await until('the identity is renewed', async () => (await held(place)).certificate !== before, BOUND_MS);
  });

  it('writes no key and no token to any log', async () => {
    const said = programs.map(({ output }) => output).join('');
    expect(said).to.contain('certificate issued');
    expect(said).not.to.match(/PRIVATE KEY|eyJ[\w-]+\.[\w-]+\./);
    for (const name of ['holdfast-ca', ...LEAVES.map((leaf) => leaf.secret)]) {
      const key = decode((await secret(name)).data['tls.key']).split('\n')[1] ?? '';
      expect(key.length).to.be.above(30);
      expect(said).not.to.contain(key);
    }
  });
});
