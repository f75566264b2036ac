/**
 * The three things that an identity asks of the API server, with the token of its pod. Must never ask for anything else: its account may do no more. By hand and not
 * by the client library, whose models take a hundred megabytes on every node.
 */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import path from 'node:path';
import { ask } from '../../../edge/http/client.ts';
import type { IdentityParameters } from '../settings.ts';

const BOUNDS = { answerMsMax: 10_000, answerBytesMax: 4 * 1024 * 1024 };
const SHOWN_CHARACTERS = 300;
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const NOT_FOUND = 404;

type Condition = { type: string; status: string; message?: string };
type Request = { metadata: { name: string }; status?: { certificate?: string; conditions?: Condition[] } };

export class IdentityCluster {
  readonly #parameters: IdentityParameters;

  constructor(parameters: IdentityParameters) {
    this.#parameters = parameters;
  }

  async trust(): Promise<string | null> {
    const { namespace, trustConfigMap } = this.#parameters;
    const found = await this.#call<{ data?: Record<string, string> }>(
      'GET',
      `/api/v1/namespaces/${namespace}/configmaps/${trustConfigMap}`,
    );
    return found?.data?.['ca.crt'] ?? null;
  }

  async file(asked: string): Promise<string> {
    const { nodeName, signerName } = this.#parameters;
    const filed = await this.#call<Request>('POST', REQUESTS, {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { generateName: `holdfast-agent-${nodeName}-` },
      spec: {
        request: Buffer.from(asked).toString('base64'),
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

  /** Null: it is not there. Token and authority are read each time: the kubelet renews them. */
  async #call<Answer>(method: 'GET' | 'POST', route: string, body?: unknown): Promise<Answer | null> {
    const { host, port, tokenDirectory } = this.#parameters;
    const [token = '', ca = ''] = await Promise.all(['token', 'ca.crt'].map((file) => readFile(path.join(tokenDirectory, file), 'utf8')));
    const url = `https://${isIPv6(host) ? `[${host}]` : host}:${port}${route}`;
    const headers = { authorization: `Bearer ${token.trim()}`, accept: 'application/json', 'content-type': 'application/json' };
    const { status, text } = await ask(url, {
      options: { method, ca, headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...BOUNDS,
    });
    if (status === NOT_FOUND) return null;
    if (status < 200 || status >= 300)
      throw new Error(`${method} ${route}: the API server answered ${status}: ${text.slice(0, SHOWN_CHARACTERS)}`);
    return JSON.parse(text) as Answer;
  }
}
