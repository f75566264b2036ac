/** The API server as the one who typed the command: their kubeconfig, their rights. Must never reach anything else: what is shown stands in Kubernetes. */
import { KubeConfig } from '@kubernetes/client-node';
import { messageOf } from '../../core/errors.ts';
import { KubeConnection, type KubeMethod } from '../../edge/kube/connection.ts';
import { CommandError } from '../errors.ts';
import type { Kube } from '../kube.ts';

const DEADLINE_MS = 15_000;
const PAGE_LENGTH = 500;
const PAGES_MAX = 200;

export type Access = { kubeconfig?: string | undefined; context?: string | undefined };

export class HttpKube implements Kube {
  readonly #connection: KubeConnection;

  constructor({ kubeconfig, context }: Access) {
    const config = new KubeConfig();
    try {
      if (kubeconfig === undefined) config.loadFromDefault();
      else config.loadFromFile(kubeconfig);
      if (context !== undefined) config.setCurrentContext(context);
      this.#connection = new KubeConnection(config);
    } catch (error) {
      throw new CommandError(`the kubeconfig cannot be used: ${messageOf(error)}`);
    }
  }

  get<Body>(path: string): Promise<Body | null> {
    return this.#ask<Body>('GET', path);
  }

  async list<Item>(path: string): Promise<Item[]> {
    const items: Item[] = [];
    let next = '';
    for (let page = 0; page < PAGES_MAX; page++) {
      const query = `limit=${PAGE_LENGTH}${next === '' ? '' : `&continue=${encodeURIComponent(next)}`}`;
      const answer = await this.#ask<{ items?: Item[]; metadata: { continue?: string } }>('GET', `${path}?${query}`);
      if (answer === null) throw new CommandError('this cluster does not know the kinds of holdfast.dev: is Holdfast installed there?');
      items.push(...(answer.items ?? []));
      next = answer.metadata.continue ?? '';
      if (next === '') return items;
    }
    throw new CommandError(`there are more than ${PAGES_MAX * PAGE_LENGTH} objects at ${path}`);
  }

  patch<Body>(path: string, body: object): Promise<Body | null> {
    return this.#ask<Body>('PATCH', `${path}?fieldManager=kubectl-holdfast&fieldValidation=Strict`, body);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #ask<Body>(method: KubeMethod, path: string, body?: object): Promise<Body | null> {
    const headers: Record<string, string> = method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {};
    const { status, text } = await this.#send(method, path, body, headers);
    if (status === 404) return null;
    if (status >= 200 && status <= 299) return JSON.parse(text) as Body;
    throw new CommandError(sentenceOf(status, text), status);
  }

  async #send(method: KubeMethod, path: string, body: object | undefined, headers: Record<string, string>) {
    try {
      const response = await this.#connection.send(method, path, body, AbortSignal.timeout(DEADLINE_MS), headers);
      return { status: response.httpStatusCode, text: await response.body.text() };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      throw new CommandError(`the API server gives no answer: ${messageOf(cause)}`);
    }
  }
}

function sentenceOf(status: number, text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? `the API server answered ${status}`;
  } catch {
    return `the API server answered ${status}: ${text.slice(0, 200)}`;
  }
}
