/** The holder of this node, asked over its unix socket. Must never take a device for absent because nobody answered. */
import { messageOf } from '../../../core/errors.ts';
import { CsiError } from '../../../edge/csi/codes.ts';
import { ask } from '../../../edge/http/client.ts';
import type { Device, Holder } from '../ports.ts';

const BOUNDS = { answerMsMax: 30_000, answerBytesMax: 1024 * 1024 };

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

  async #call(method: string, path: string, wish?: object): Promise<Answer> {
    const body = wish === undefined ? '' : JSON.stringify(wish);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    try {
      const { status, text } = await ask(`http://holder${path}`, {
        options: { socketPath: this.#socket, method, headers },
        body,
        ...BOUNDS,
      });
      return { status, body: text === '' ? null : JSON.parse(text) };
    } catch (error) {
      throw new CsiError('Unavailable', `the attach holder of this node does not answer at ${this.#socket}: ${messageOf(error)}`);
    }
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
