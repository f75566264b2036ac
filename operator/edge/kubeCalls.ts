/**
 * The API server with a caller's own token. Such requests go over connections without any certificate of ours: the API server believes a certificate
 * before it looks at a token, and everybody would be the operator. Must never send a token anywhere else, nor log one.
 */
import type { ResponseContext } from '@kubernetes/client-node';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import { HttpError } from '../../edge/http/errors.ts';
import type { KubeConnection } from '../../edge/kube/connection.ts';
import type { KubeAnswer, KubeCalls, KubeRequest } from '../api/ports.ts';
import { refusalOf, unavailable } from '../api/refusals.ts';
import type { KubeObject } from '../api.ts';
import type { WatchEvent } from '../ports.ts';
import { readLines } from './kubeApi.ts';

const DEADLINE_MS = 8_000;
/** What a connection that was never made says: nobody has seen the request. */
const NEVER_SENT: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

const codeOf = (error: unknown): string => {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : '';
  return typeof code === 'string' ? code : '';
};

/** What fetch says of a broken connection lies in its cause. */
const causeOf = (error: unknown): unknown => (error instanceof Error && error.cause !== undefined ? error.cause : error);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page, or nothing: shown as it is.
    return { message: text.slice(0, 200) };
  }
}

export class HttpKubeCalls implements KubeCalls {
  readonly #own: KubeConnection;
  readonly #callers: KubeConnection;

  /** `callers` must have been made with the identity `none`. */
  constructor(own: KubeConnection, callers: KubeConnection) {
    this.#own = own;
    this.#callers = callers;
  }

  async call(token: string | null, request: KubeRequest, signal: AbortSignal): Promise<KubeAnswer> {
    try {
      const response = await this.#send(token, request, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]));
      return { status: response.httpStatusCode, body: parsed(await response.body.text()) };
    } catch (error) {
      throw this.#unanswered(request, error);
    }
  }

  async watch(token: string, path: string, onEvent: (event: WatchEvent) => 'more' | 'enough', signal: AbortSignal): Promise<void> {
    const request: KubeRequest = { method: 'GET', path };
    const ending = new AbortController();
    try {
      const response = await this.#send(token, request, AbortSignal.any([signal, ending.signal]));
      if (response.httpStatusCode !== 200)
        throw refusalOf({ status: response.httpStatusCode, body: parsed(await response.body.text()) }, request);
      await readLines(response, `watch ${path}`, (line) => {
        if (!ending.signal.aborted && this.#deliver(request, line, onEvent) === 'enough') ending.abort();
      });
    } catch (error) {
      if (!signal.aborted && !ending.signal.aborted) throw this.#unanswered(request, error);
    } finally {
      ending.abort();
    }
  }

  #send(token: string | null, { method, path, body }: KubeRequest, signal: AbortSignal): Promise<ResponseContext> {
    const patch: Record<string, string> = method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {};
    if (token === null) return this.#own.send(method, path, body, signal, patch);
    return this.#callers.send(method, path, body, signal, { ...patch, Authorization: `Bearer ${token}` });
  }

  #deliver(request: KubeRequest, line: string, onEvent: (event: WatchEvent) => 'more' | 'enough'): 'more' | 'enough' {
    const event = JSON.parse(line) as { type: string; object: KubeObject & { code?: number } };
    if (event.type === 'ERROR') throw refusalOf({ status: event.object.code ?? 500, body: event.object }, request);
    return onEvent(event as WatchEvent);
  }

  #unanswered(request: KubeRequest, error: unknown): Error {
    if (error instanceof HttpError || isOperatingError(error)) return error;
    const cause = causeOf(error);
    return unavailable(request, `the API server gives no answer (${messageOf(cause)})`, !NEVER_SENT.has(codeOf(cause)), error);
  }
}
