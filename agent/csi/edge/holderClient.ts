/** The holder of this node, asked over its unix socket. Must never take a device for absent because nobody answered. */
import { request } from 'node:http';
import { messageOf } from '../../../core/errors.ts';
import { CsiError } from '../../../edge/csi/codes.ts';
import type { Device, Holder } from '../ports.ts';

const CALL_MS_MAX = 30_000;
const ANSWER_BYTES_MAX = 1024 * 1024;

type Answer = { status: number; body: unknown };

export class HolderClient implements Holder {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async find(name: string): Promise<Device | null> {
    const answer = await this.#call('GET', pathOf(name));
    return answer.status === 404 ? null : deviceOf(answer);
  }

  async all(): Promise<Device[]> {
    const answer = await this.#call('GET', '/devices');
    if (answer.status !== 200) throw refusal(answer);
    return answer.body as Device[];
  }

  async attach({ name, ...wish }: Parameters<Holder['attach']>[0]): Promise<Device> {
    return deviceOf(await this.#call('PUT', pathOf(name), wish));
  }

  async resize(name: string, sizeBytes: number): Promise<Device> {
    return deviceOf(await this.#call('POST', `${pathOf(name)}/size`, { sizeBytes }));
  }

  async fail(name: string): Promise<void> {
    deviceOf(await this.#call('POST', `${pathOf(name)}/fail`));
  }

  async detach(name: string): Promise<void> {
    const answer = await this.#call('DELETE', pathOf(name));
    if (answer.status !== 204) throw refusal(answer);
  }

  #call(method: string, path: string, body?: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const unavailable = (error: unknown) =>
        reject(new CsiError('Unavailable', `the attach holder of this node does not answer at ${this.#socket}: ${messageOf(error)}`));
      const text = body === undefined ? '' : JSON.stringify(body);
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const call = request({ socketPath: this.#socket, method, path, headers, signal: AbortSignal.timeout(CALL_MS_MAX) }, (response) => {
        let received = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          received += chunk;
          if (received.length > ANSWER_BYTES_MAX) response.destroy(new Error('its answer is too long'));
        });
        response.on('error', unavailable);
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode ?? 0, body: received === '' ? null : JSON.parse(received) });
          } catch (error) {
            unavailable(error);
          }
        });
      });
      call.on('error', unavailable);
      call.end(text);
    });
  }
}

const pathOf = (name: string): string => `/devices/${encodeURIComponent(name)}`;

const deviceOf = (answer: Answer): Device => {
  if (answer.status !== 200) throw refusal(answer);
  return answer.body as Device;
};

/** In the holder's own words. */
function refusal({ status, body }: Answer): CsiError {
  const { message = `the holder answered ${status}` } = (body ?? {}) as { message?: string };
  if (status === 409) return new CsiError('FailedPrecondition', message);
  if (status === 404) return new CsiError('NotFound', message);
  return new CsiError(status === 400 ? 'InvalidArgument' : 'Unavailable', message);
}
