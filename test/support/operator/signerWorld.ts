/**
 * An API server with the accounts and rights of signer and identities, and the programs themselves. Kubelets are played: pods, their addresses and their tokens are made
 * here. `stop` ends every program.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { certificatesIn, makeRequest } from '../../../edge/issuing.ts';
import { KubeConnection } from '../../../edge/kube/connection.ts';
import type { TlsFiles } from '../../../edge/tls.ts';
import type { KubeObject } from '../../../operator/api.ts';
import { HttpKubeApi } from '../../../operator/edge/kubeApi.ts';
import { type Cluster, startCluster } from '../../../tools/local/cluster.ts';
import { ProgramProcess } from '../programs.ts';
import { until } from '../until.ts';

export const NAMESPACE = 'holdfast-system';
/** Programs start slowly beside others. */
export const BOUND_MS = 60_000;
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const SIGNER = 'holdfast.dev/agent';
export const LEAVES = [
  { secret: 'holdfast-etcd-tls', commonName: 'etcd', names: ['localhost', '127.0.0.1'] },
  { secret: 'holdfast-operator-tls', commonName: 'operator:operator', names: [] },
];

type Data = { data: Record<string, string> };
export type Request = { status?: { certificate?: string; conditions?: { type: string; message: string }[] } };
export const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString();
const core = (kind: string, name: string): string => `/api/v1/namespaces/${NAMESPACE}/${kind}/${name}`;

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
    certificates(['signers'], ['approve', 'sign'], { resourceNames: [SIGNER] }),
    { apiGroups: ['holdfast.dev'], resources: ['storagenodes'], verbs: ['list'] },
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
    { apiGroups: ['apps'], resources: ['statefulsets'], resourceNames: ['holdfast-etcd'], verbs: ['get', 'update'] },
  ]);
  for (const account of ['holdfast-agent', 'stranger'])
    bind('ClusterRole', account, [certificates(['certificatesigningrequests'], ['create', 'get'])]);
  bind('Role', 'holdfast-agent', [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['holdfast-trust'], verbs: ['get'] }]);
  return objects;
}

export class SignerWorld {
  readonly cluster: Cluster;
  readonly directory: string;
  readonly api: HttpKubeApi;
  programs: ProgramProcess[] = [];
  /** Of all that ever ran. */
  readonly everRan: ProgramProcess[] = [];
  readonly #connection: KubeConnection;

  private constructor(directory: string, cluster: Cluster) {
    this.directory = directory;
    this.cluster = cluster;
    this.#connection = new KubeConnection(cluster.kubeconfig);
    this.api = new HttpKubeApi(this.#connection);
  }

  static async open(): Promise<SignerWorld> {
    const directory = await mkdtemp(path.join(tmpdir(), 'hf-'));
    const world = new SignerWorld(directory, await startCluster({ directory: path.join(directory, 'c'), nodes: 0, operators: 0 }));
    const accounts = ['holdfast-signer', 'holdfast-agent', 'stranger'];
    const metadata = (name: string) => ({ name, namespace: NAMESPACE });
    await world.apply([...accounts.map((name) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata(name) })), ...rights()]);
    return world;
  }

  async close(): Promise<void> {
    await this.stopAll('SIGKILL');
    await this.#connection.close();
    await this.cluster.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  async stopAll(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await Promise.all(this.programs.map((program) => program.stop(signal)));
    this.programs = [];
  }

  apply(objects: object[]): Promise<string> {
    return this.cluster.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  }

  isThere(secret: string): Promise<boolean> {
    return this.api.get(core('secrets', secret)).then((found) => found !== null);
  }

  async secret(name: string): Promise<Record<string, string>> {
    const found = await this.api.get<KubeObject & Data>(core('secrets', name));
    expect(found, name).not.to.equal(null);
    return Object.fromEntries(Object.entries(found?.data ?? {}).map(([key, value]) => [key, decode(value)]));
  }

  async trust(): Promise<string[]> {
    const found = await this.api.get<KubeObject & Data>(core('configmaps', 'holdfast-trust'));
    return certificatesIn(found?.data['ca.crt'] ?? '');
  }

  /** A Secret's certificate as files. */
  async filesOf(name: string): Promise<TlsFiles> {
    const place = path.join(this.directory, name);
    const data = await this.secret(name);
    const files = { ca: `${place}.ca`, cert: `${place}.crt`, key: `${place}.key` };
    const [ca = '', cert = '', key = ''] = ['ca.crt', 'tls.crt', 'tls.key'].map((one) => data[one]);
    await Promise.all([writeFile(files.ca, ca), writeFile(files.cert, cert), writeFile(files.key, key, { mode: 0o600 })]);
    return files;
  }

  /** A pod on a node, as the kubelet tells of it. */
  async pod(name: string, node: string, address: string, account = 'holdfast-agent'): Promise<void> {
    const metadata = { name, namespace: NAMESPACE };
    const spec = { nodeName: node, serviceAccountName: account, containers: [{ name: 'agent', image: 'none' }] };
    await this.apply([
      { apiVersion: 'v1', kind: 'Node', metadata: { name: node } },
      { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    ]);
    const status = { podIPs: [{ ip: address }], podIP: address, hostIP: '192.168.0.5', hostIPs: [{ ip: '192.168.0.5' }] };
    await this.cluster.kubectl(['patch', 'pod', name, '--namespace', NAMESPACE, '--subresource=status', '-p', JSON.stringify({ status })]);
  }

  /** Of this account: by a token of a pod, or of nothing. */
  async kubeconfig(account: string, boundTo?: string): Promise<string> {
    const bound = boundTo === undefined ? [] : ['--bound-object-kind=Pod', `--bound-object-name=${boundTo}`];
    const token = (await this.cluster.kubectl(['create', 'token', account, '--namespace', NAMESPACE, ...bound])).trim();
    const given = JSON.parse(await readFile(this.cluster.kubeconfig, 'utf8')) as { users: { name: string; user: object }[] };
    const file = path.join(this.directory, `${account}-${boundTo ?? 'unbound'}.kubeconfig`);
    await writeFile(file, JSON.stringify({ ...given, users: given.users.map(({ name }) => ({ name, user: { token } })) }), { mode: 0o600 });
    return file;
  }

  /** Files a request, and answers its name. */
  async file(kubeconfig: string, commonName: string, names: string[] = []): Promise<string> {
    const { request } = await makeRequest({ commonName, organizations: [] }, names);
    const usages = ['client auth', 'server auth', 'digital signature'];
    const spec = { request: Buffer.from(request).toString('base64'), signerName: SIGNER, usages };
    const object = { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { generateName: 'asked-' }, spec };
    const filed = await this.cluster.kubectl(['create', '-o', 'name', '-f', '-', '--kubeconfig', kubeconfig], JSON.stringify(object));
    return filed.trim().split('/')[1] ?? '';
  }

  request(name: string): Promise<(KubeObject & Request) | null> {
    return this.api.get<KubeObject & Request>(`${REQUESTS}/${name}`);
  }

  /** Until it is signed or denied. */
  async ask(kubeconfig: string, commonName: string, names: string[] = []): Promise<Request> {
    const name = await this.file(kubeconfig, commonName, names);
    const answered = async () => {
      const found = await this.request(name);
      return found?.status?.certificate || found?.status?.conditions?.some(({ type }) => type === 'Denied') ? found : null;
    };
    return until(`${name} is answered`, answered, BOUND_MS);
  }

  async signer(name: string, change: Record<string, string> = {}): Promise<ProgramProcess> {
    const KUBECONFIG = await this.kubeconfig('holdfast-signer');
    const environment = { NAME: name, KUBECONFIG, LEAVES: JSON.stringify(LEAVES), LOOK_EVERY_MS: '200', ...change };
    return this.#ran(new ProgramProcess('operator/certificates/main.ts', environment));
  }

  /** Of a node whose pod is `agent-<node>`; answers where its files appear. */
  async identity(node: string, address: string): Promise<string> {
    const place = path.join(this.directory, `identity-${node}`);
    const { server, authority, token } = await this.#podsAccess(node);
    const tokens = path.join(this.directory, `token-${node}`);
    await mkdir(tokens, { recursive: true });
    await Promise.all([writeFile(path.join(tokens, 'token'), token, { mode: 0o600 }), writeFile(path.join(tokens, 'ca.crt'), authority)]);
    const { hostname: KUBERNETES_SERVICE_HOST, port: KUBERNETES_SERVICE_PORT } = new URL(server);
    this.#ran(
      new ProgramProcess('agent/identity/main.ts', {
        ...{ NODE_NAME: node, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT, TOKEN_DIR: tokens },
        ...{ IDENTITY_DIR: place, ADDRESSES: address, LOOK_EVERY_MS: '200' },
      }),
    );
    return place;
  }

  /** What a pod of the agents on that node is given. */
  async #podsAccess(node: string): Promise<{ server: string; authority: string; token: string }> {
    type Config = {
      clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
      users: { user: { token: string } }[];
    };
    const config = JSON.parse(await readFile(await this.kubeconfig('holdfast-agent', `agent-${node}`), 'utf8')) as Config;
    const [cluster, user] = [config.clusters[0]?.cluster, config.users[0]?.user];
    if (cluster === undefined || user === undefined) throw new Error('the kubeconfig is empty');
    return { server: cluster.server, authority: decode(cluster['certificate-authority-data']), token: user.token };
  }

  async held(place: string): Promise<{ certificate: string; ca: string }> {
    const [certificate, ca] = await Promise.all(
      ['tls.crt', 'ca.crt'].map((file) => readFile(path.join(place, file), 'utf8').catch(() => '')),
    );
    return { certificate: certificate ?? '', ca: ca ?? '' };
  }

  #ran(program: ProgramProcess): ProgramProcess {
    this.programs.push(program);
    this.everRan.push(program);
    return program;
  }
}

export const denial = (request: Request): string => request.status?.conditions?.find(({ type }) => type === 'Denied')?.message ?? 'granted';
