/**
 * Who this program is to the API server, and the connections to it. Of the client library only the reading of kubeconfigs, the authentication and the plain
 * HTTP call are used: its generated clients make a new connection pool for every request.
 */
import { HttpMethod, IsomorphicFetchHttpLibrary, KubeConfig, RequestContext, type ResponseContext } from '@kubernetes/client-node';
import { systemClock } from '../../core/clock.ts';

type Dispatcher = ReturnType<RequestContext['getDispatcher']>;
type Access = { headers: Record<string, string>; dispatcher: Dispatcher; sinceMs: number };

/** Tokens and certificates are renewed on disk; a pool of connections knows only those it was made with. */
const ACCESS_AGE_MAX_MS = 300_000;

export type KubeMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type KubeIdentity =
  /** This program's own: the kubeconfig's, or the pod's service account. */
  | 'own'
  /** None: who asks stands in each request's headers. Never a certificate, which the API server would believe before any token. */
  | 'none';

export class KubeConnection {
  readonly #config: KubeConfig;
  readonly #server: string;
  readonly #library = new IsomorphicFetchHttpLibrary();
  #access: Promise<Access> | null = null;

  /** `kubeconfig`: a file, or what was read already; empty: the service account of the pod this program runs in. Throws when there is neither. */
  constructor(kubeconfig: string | KubeConfig, identity: KubeIdentity = 'own') {
    this.#config = typeof kubeconfig === 'string' ? new KubeConfig() : kubeconfig;
    if (kubeconfig === '') this.#config.loadFromCluster();
    else if (typeof kubeconfig === 'string') this.#config.loadFromFile(kubeconfig);
    const cluster = this.#config.getCurrentCluster();
    if (!cluster) throw new Error(`the kubeconfig ${typeof kubeconfig === 'string' ? kubeconfig : ''} has no current cluster`);
    this.#server = cluster.server.replace(/\/+$/, '');
    if (identity === 'none') this.#config.users = this.#config.users.map(({ name }) => ({ name }));
  }

  /** `headers` are set last. */
  async send(
    method: KubeMethod,
    path: string,
    body: unknown,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ResponseContext> {
    const access = await this.#currentAccess();
    const request = new RequestContext(`${this.#server}${path}`, HttpMethod[method]);
    for (const [name, value] of Object.entries(access.headers)) request.setHeaderParam(name, value);
    request.setHeaderParam('Accept', 'application/json');
    if (body !== undefined) {
      request.setHeaderParam('Content-Type', 'application/json');
      request.setBody(JSON.stringify(body));
    }
    for (const [name, value] of Object.entries(headers)) request.setHeaderParam(name, value);
    if (access.dispatcher) request.setDispatcher(access.dispatcher);
    request.setSignal(signal);
    const response = await this.#library.send(request).toPromise();
    // The next request reads token and certificate again.
    if (response.httpStatusCode === 401) this.#access = null;
    return response;
  }

  async close(): Promise<void> {
    const access = await this.#access?.catch(() => null);
    this.#access = null;
    await access?.dispatcher?.destroy();
  }

  async #currentAccess(): Promise<Access> {
    const before = this.#access;
    const access = await before;
    if (access && systemClock.monotonicMs() - access.sinceMs < ACCESS_AGE_MAX_MS) return access;
    // Several that wait here at once share the first one's.
    if (this.#access !== null && this.#access !== before) return this.#access;
    const renewed = this.#authenticate(access);
    this.#access = renewed;
    return renewed;
  }

  async #authenticate(old: Access | null): Promise<Access> {
    try {
      const context = new RequestContext(this.#server, HttpMethod.GET);
      await this.#config.applySecurityAuthentication(context);
      // Requests that still run on the old connections, watches above all, end in their own time.
      void old?.dispatcher?.close().catch(() => undefined);
      return { headers: context.getHeaders(), dispatcher: context.getDispatcher(), sinceMs: systemClock.monotonicMs() };
    } catch (error) {
      this.#access = null;
      throw error;
    }
  }
}
