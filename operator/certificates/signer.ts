/**
 * The signer: looks at everything again and again, and does what is missing. Must never remember what it could look at, and never let one part that fails keep
 * the others from being done.
 */
import { messageOf } from '../../core/errors.ts';
import type { Timers } from '../ports.ts';
import { type AnswerPorts, answerRequests } from './answers.ts';
import type { KeptAuthority } from './keptAuthority.ts';
import { keepLeaf } from './leafSecrets.ts';

/** What etcd is told of who may do what. */
export interface AccountsKeeper {
  /** All that should have one; rejects with why it could not be done. */
  keep(nodes: readonly string[]): Promise<void>;
  /** One more, at once; never rejects. */
  expect(node: string): Promise<void>;
  close(): void;
}

export type SignerPorts = AnswerPorts & {
  readonly timers: Timers;
  readonly authority: KeptAuthority;
  readonly accounts: AccountsKeeper | null;
  readonly nodes: () => Promise<readonly string[]>;
};

export class Signer {
  readonly #ports: SignerPorts;
  readonly #told = new Map<string, string>();

  constructor(ports: SignerPorts) {
    this.#ports = ports;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#ports.timers.sleep(this.#ports.parameters.lookEveryMs, signal);
    }
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { authority, accounts, nodes } = this.#ports;
    const office = await this.#part('authority', () => authority.look());
    if (office === null) return;
    for (const leaf of this.#ports.parameters.leaves)
      await this.#part(`certificate ${leaf.secret}`, () => keepLeaf(this.#ports, office, leaf));
    await this.#part('requests', () => answerRequests(this.#ports, office));
    if (accounts !== null) await this.#part('accounts in etcd', async () => accounts.keep(await nodes()));
  }

  /** Told when it begins to fail, and when it no longer does. */
  async #part<Result>(name: string, run: () => Promise<Result>): Promise<Result | null> {
    const { log } = this.#ports;
    try {
      const result = await run();
      if (this.#told.delete(name)) log.info('goes on', { part: name });
      return result;
    } catch (error) {
      const reason = messageOf(error);
      if (this.#told.get(name) !== reason) log.warn('cannot be done now, it is tried again', { part: name, reason });
      this.#told.set(name, reason);
      return null;
    }
  }
}
