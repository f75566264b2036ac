/** What lies between operators and what they dial, so that a test can cut it, one way or both: relays, one for each operator and each of etcd and the API server. */
import { createServer } from 'node:net';
import { Relays } from '../../history/relays.ts';

export type Dialled = 'etcd' | 'apiserver';
const HOST = '127.0.0.1';

/** answers: what is asked arrives, and nobody hears the answer. requests: nothing arrives. */
export type Way = 'both' | 'answers' | 'requests';

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, HOST, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

export class Routes {
  readonly #relays = new Relays([], () => undefined);
  readonly #urls = new Map<string, string>();
  #cuts: (() => void)[] = [];

  /** As the cluster asks for it; the same for an operator that is started again. */
  async of(operator: string, dialled: Dialled, url: string): Promise<string> {
    const name = `${operator}>${dialled}`;
    const known = this.#urls.get(name);
    if (known !== undefined) return known;
    const port = await freePort();
    const { hostname, port: target } = new URL(url);
    await this.#relays.listen({ host: HOST, port }, operator, dialled, () => ({ host: hostname, port: Number(target) }));
    const route = `https://${HOST}:${port}`;
    this.#urls.set(name, route);
    return route;
  }

  cut(operator: string, dialled: readonly Dialled[], way: Way): void {
    for (const one of dialled) {
      if (way !== 'answers') this.#cuts.push(this.#relays.cut(operator, one));
      if (way !== 'requests') this.#cuts.push(this.#relays.cut(one, operator));
    }
  }

  mend(): void {
    for (const mend of this.#cuts) mend();
    this.#cuts = [];
  }

  close(): void {
    this.#relays.close();
  }
}
