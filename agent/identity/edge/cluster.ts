/** The three things that an identity asks of the API server. Must never ask for anything else: its account may do no more. */
import { KubeConnection } from '../../../edge/kube/connection.ts';
import type { IdentityParameters } from '../settings.ts';

const CALL_MS_MAX = 10_000;
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const NOT_FOUND = 404;

type Condition = { type: string; status: string; message?: string };
type Request = { metadata: { name: string }; status?: { certificate?: string; conditions?: Condition[] } };

export class IdentityCluster {
  readonly #connection: KubeConnection;
  readonly #parameters: IdentityParameters;

  constructor(parameters: IdentityParameters) {
    this.#parameters = parameters;
    this.#connection = new KubeConnection(parameters.kubeconfig);
  }

  async trust(): Promise<string | null> {
    const { namespace, trustConfigMap } = this.#parameters;
    const found = await this.#call<{ data?: Record<string, string> }>(
      'GET',
      `/api/v1/namespaces/${namespace}/configmaps/${trustConfigMap}`,
    );
    return found?.data?.['ca.crt'] ?? null;
  }

  async file(request: string): Promise<string> {
    const { nodeName, signerName } = this.#parameters;
    const filed = await this.#call<Request>('POST', REQUESTS, {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { generateName: `holdfast-agent-${nodeName}-` },
      spec: {
        request: Buffer.from(request).toString('base64'),
        signerName,
        usages: ['digital signature', 'server auth', 'client auth'],
      },
    });
    if (filed === null) throw new Error('the API server knows no CertificateSigningRequests');
    return filed.metadata.name;
  }

  async answer(name: string): Promise<string | null> {
    const found = await this.#call<Request>('GET', `${REQUESTS}/${name}`);
    if (found === null) throw new Error(`the request ${name} is gone`);
    const refused = found.status?.conditions?.find(({ type, status }) => (type === 'Denied' || type === 'Failed') && status === 'True');
    if (refused !== undefined) throw new Error(`the request ${name} was denied: ${refused.message ?? 'no reason given'}`);
    const certificate = found.status?.certificate ?? '';
    return certificate === '' ? null : Buffer.from(certificate, 'base64').toString();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Null: it is not there. */
  async #call<Answer>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer | null> {
    const response = await this.#connection.send(method, path, body, AbortSignal.timeout(CALL_MS_MAX));
    const text = await response.body.text();
    if (response.httpStatusCode === NOT_FOUND) return null;
    if (response.httpStatusCode >= 300)
      throw new Error(`${method} ${path}: the API server answered ${response.httpStatusCode}: ${text.slice(0, 300)}`);
    return JSON.parse(text) as Answer;
  }
}
