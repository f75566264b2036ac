/** The API server as the operator's port wants it: deadlines on everything, its answers as results or typed errors. */
import type { ResponseContext } from '@kubernetes/client-node';
import { isOperatingError, messageOf, OperatingError } from '../../core/errors.ts';
import type { KubeConnection, KubeMethod } from '../../edge/kube/connection.ts';
import type { KubeObject } from '../api.ts';
import { Gone, type KubeApi, KubeRefusal, type Page, type WatchEvent } from '../ports.ts';

const DEADLINE_MS = 10_000;
const LIST_PAGE_LENGTH = 500;
const LIST_PAGES_MAX = 2_000;
/** The server ends a watch after this, and everything is listed again: what was missed for whatever reason is seen at last then. */
const WATCH_SECONDS = 300;
/** Bookmarks come about every minute: with nothing for longer the connection is dead. */
const WATCH_SILENCE_MAX_MS = 90_000;
/** One object, with a margin: the API server stores none larger than 1.5 MiB. */
const WATCH_LINE_MAX = 8 * 1024 * 1024;

type StatusBody = { message?: string; reason?: string; code?: number };
type KubeList<Object> = KubeObject & { items?: Object[]; metadata: { continue?: string } };
type Reader = ReadableStreamDefaultReader<Uint8Array>;

const statusOf = (text: string): StatusBody => {
  try {
    return JSON.parse(text) as StatusBody;
  } catch {
    // A proxy's page, or nothing: shown as it is.
    return { message: text.slice(0, 200) };
  }
};

function refusal(attempted: string, code: number, text: string): Error {
  const message = statusOf(text).message ?? 'no reason given';
  if (code === 409) return new OperatingError('Conflict', attempted, message);
  if (code === 410) return new Gone(`${attempted}: ${message}`);
  // 401: credentials are being renewed, or the server does not know its own CA yet.
  if (code === 429 || code === 401 || code >= 500)
    return new OperatingError('Unavailable', attempted, `the API server answered ${code}: ${message}`);
  return new KubeRefusal(code, attempted, message);
}

/** What fetch says of a broken connection lies in its cause. */
const wordsOf = (error: unknown): string => {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? messageOf(error) : `${messageOf(error)} (${messageOf(cause)})`;
};

const unanswered = (attempted: string, error: unknown): Error =>
  error instanceof Error && (isOperatingError(error) || error instanceof Gone || error instanceof KubeRefusal)
    ? error
    : new OperatingError('Unavailable', attempted, `the API server gave no answer: ${wordsOf(error)}`, { cause: error });

export class HttpKubeApi implements KubeApi {
  readonly #connection: KubeConnection;

  constructor(connection: KubeConnection) {
    this.#connection = connection;
  }

  async get<Object extends KubeObject>(path: string, deadlineMs = DEADLINE_MS): Promise<Object | null> {
    return this.#call('GET', path, undefined, deadlineMs);
  }

  async create<Object extends KubeObject>(path: string, body: Object, deadlineMs = DEADLINE_MS): Promise<Object> {
    const created = await this.#call<Object>('POST', path, body, deadlineMs);
    if (created === null) throw new KubeRefusal(404, `POST ${path}`, 'the API server does not know this kind or namespace');
    return created;
  }

  async replace<Object extends KubeObject>(path: string, body: Object, deadlineMs = DEADLINE_MS): Promise<Object | null> {
    return this.#call('PUT', path, body, deadlineMs);
  }

  async remove(path: string, uid: string, graceSeconds?: number): Promise<void> {
    const options = { preconditions: { uid }, ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }) };
    try {
      await this.#call('DELETE', path, options, DEADLINE_MS);
    } catch (error) {
      // Another object has the name: the one that was meant is gone.
      if (!isOperatingError(error, 'Conflict')) throw error;
    }
  }

  async page<Object extends KubeObject>(path: string, limit: number, token: string, selector = ''): Promise<Page<Object>> {
    const query = [`limit=${limit || LIST_PAGE_LENGTH}`, token === '' ? '' : `continue=${encodeURIComponent(token)}`, selector];
    const { items, metadata } = await this.#listed<Object>(`${path}?${query.filter((one) => one !== '').join('&')}`);
    return { items: items ?? [], next: metadata.continue ?? '' };
  }

  async list<Object extends KubeObject>(path: string): Promise<{ items: Object[]; resourceVersion: string }> {
    const items: Object[] = [];
    let next = '';
    for (let page = 0; page < LIST_PAGES_MAX; page++) {
      const query = `limit=${LIST_PAGE_LENGTH}${next === '' ? '' : `&continue=${encodeURIComponent(next)}`}`;
      const answer = await this.#listed<Object>(`${path}?${query}`);
      items.push(...(answer.items ?? []));
      next = answer.metadata.continue ?? '';
      if (next === '') return { items, resourceVersion: answer.metadata.resourceVersion };
    }
    throw new OperatingError('Unavailable', `GET ${path}`, `more than ${LIST_PAGES_MAX * LIST_PAGE_LENGTH} objects`);
  }

  async watch(path: string, resourceVersion: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    const attempted = `watch ${path}`;
    const query = `watch=true&allowWatchBookmarks=true&resourceVersion=${resourceVersion}&timeoutSeconds=${WATCH_SECONDS}`;
    const ending = new AbortController();
    const silence = setTimeout(() => ending.abort(new Error('silent for too long')), WATCH_SILENCE_MAX_MS);
    try {
      const response = await this.#connection.send('GET', `${path}?${query}`, undefined, AbortSignal.any([signal, ending.signal]));
      if (response.httpStatusCode !== 200) throw refusal(attempted, response.httpStatusCode, await response.body.text());
      await readLines(response, attempted, (line) => {
        silence.refresh();
        deliver(attempted, line, onEvent);
      });
    } catch (error) {
      if (!signal.aborted) throw unanswered(attempted, error);
    } finally {
      clearTimeout(silence);
      ending.abort();
    }
  }

  async #listed<Object>(path: string): Promise<KubeList<Object>> {
    const answer = await this.#call<KubeList<Object>>('GET', path, undefined, DEADLINE_MS);
    if (answer === null) throw new OperatingError('Unavailable', `GET ${path}`, 'the API server does not know this kind (yet)');
    return answer;
  }

  /** Null: not there. */
  async #call<Object>(method: KubeMethod, path: string, body: unknown, deadlineMs: number): Promise<Object | null> {
    const attempted = `${method} ${path}`;
    try {
      // Whole milliseconds, as timers want them: what is left of a Lease's time is a fraction.
      const response = await this.#connection.send(method, path, body, AbortSignal.timeout(Math.max(0, Math.ceil(deadlineMs))));
      const text = await response.body.text();
      if (response.httpStatusCode === 404) return null;
      if (response.httpStatusCode < 200 || response.httpStatusCode > 299) throw refusal(attempted, response.httpStatusCode, text);
      return JSON.parse(text) as Object;
    } catch (error) {
      throw unanswered(attempted, error);
    }
  }
}

function deliver(attempted: string, line: string, onEvent: (event: WatchEvent) => void): void {
  const event = JSON.parse(line) as { type: string; object: KubeObject & StatusBody };
  if (event.type === 'ERROR') throw refusal(attempted, event.object.code ?? 500, JSON.stringify(event.object));
  onEvent(event as WatchEvent);
}

/** Calls back for each line of a watch's answer, until the server ends it. */
export async function readLines(response: ResponseContext, attempted: string, onLine: (line: string) => void): Promise<void> {
  const reader: Reader | undefined = response.body.stream()?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > WATCH_LINE_MAX)
      throw new OperatingError('Unavailable', attempted, `a line of more than ${WATCH_LINE_MAX} characters`);
    for (const line of lines) if (line !== '') onLine(line);
  }
}
