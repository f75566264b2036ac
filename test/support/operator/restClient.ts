/** A client of the REST API that holds every answer against the API's own document: what a route may not answer fails the test that asked. */
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { openApiDocument } from '../../../operator/api/openapi.ts';
import { ROUTES, type Route } from '../../../operator/api/routes.ts';

export type RestAnswer<Body> = { status: number; headers: IncomingHttpHeaders; body: Body };
export type RestError = {
  error: { code: string; message: string; traceId: string; problems?: { field: string; message: string }[]; versions?: object };
};
export type RestOptions = { token?: string | null; body?: unknown; headers?: Record<string, string>; contentType?: string };

const ANSWER_MS_MAX = 90_000;

/** Formats (int32, date-time) are Kubernetes' business. */
function validator(): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema({ $id: 'api', ...openApiDocument('0.0.0') });
  return ajv;
}

const SCHEMAS = validator();

/** What the document says of an answer; null: it says nothing wrong. */
export function answerProblem(method: string, path: string, status: number, body: unknown): string | null {
  const route = Object.values<Route>(ROUTES).find(
    (one) => one.method === method.toLowerCase() && new RegExp(`^${one.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  if (route === undefined) return status === 404 || status === 405 ? null : `${method} ${path} is not in the document`;
  const component = status < 300 ? route.answers[status] : 'Error';
  if (component === undefined) return `${method} ${path} may not answer ${status}`;
  if (component === null) return body === null ? null : `${method} ${path} may not answer ${status} with a body`;
  const validate = SCHEMAS.getSchema(`api#/components/schemas/${component}`);
  if (validate === undefined) return `there is no schema ${component}`;
  return validate(body)
    ? null
    : `${method} ${path}: ${status} is no ${component}: ${SCHEMAS.errorsText(validate.errors)} in ${JSON.stringify(body)}`;
}

export class RestClient {
  readonly #url: string;
  readonly #authority: Buffer;
  readonly #agent: Agent;
  token: string;

  constructor(url: string, authorityFile: string, token: string) {
    this.#url = url;
    this.#authority = readFileSync(authorityFile);
    this.#agent = new Agent({ keepAlive: true, maxSockets: 250 });
    this.token = token;
  }

  close(): void {
    this.#agent.destroy();
  }

  get<Body>(path: string, options: RestOptions = {}): Promise<RestAnswer<Body>> {
    return this.ask('GET', path, options);
  }

  async ask<Body>(method: string, path: string, options: RestOptions = {}): Promise<RestAnswer<Body>> {
    const { status, headers, text } = await this.#send(method, path, options);
    const body = text === '' ? null : (JSON.parse(text) as unknown);
    const problem = answerProblem(method, path.replace(/\?.*/, ''), status, body);
    if (problem !== null) throw new Error(problem);
    return { status, headers, body: body as Body };
  }

  #send(method: string, path: string, options: RestOptions): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
    const token = options.token === undefined ? this.token : options.token;
    const text = typeof options.body === 'string' ? options.body : options.body === undefined ? null : JSON.stringify(options.body);
    const headers = {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(text === null ? {} : { 'content-type': options.contentType ?? 'application/json' }),
      ...options.headers,
    };
    return new Promise((resolve, reject) => {
      const call = request(
        `${this.#url}${path}`,
        { method, headers, ca: this.#authority, agent: this.#agent, timeout: ANSWER_MS_MAX },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() }),
          );
        },
      );
      call.on('timeout', () => call.destroy(new Error(`no answer within ${ANSWER_MS_MAX} ms`)));
      call.on('error', reject);
      call.end(text ?? undefined);
    });
  }
}
