/**
 * The certificate of this node's agent, kept: asked for, taken, renewed. Must never let the agent see a certificate without its key, nor take away what it has before
 * there is something newer.
 *
 * absent --asked, signed--> held --due, or another authority issues now--> held, and asked for anew --signed--> held
 */
import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { certificatesIn, isDue, isSignedBy, makeRequest } from '../../edge/issuing.ts';

export type Held = { readonly ca: string; readonly certificate: string; readonly key: string };

/** What it needs of the world. All but `sleep` reject with why it cannot be done now. */
export interface IdentityPorts {
  readonly log: Log;
  nowMs(): number;
  sleep(forMs: number, signal: AbortSignal): Promise<void>;
  /** Null: nobody has written it yet. */
  trust(): Promise<string | null>;
  /** Files a request; answers its name. */
  file(request: string): Promise<string>;
  /** Null: not decided yet. Rejects when it was denied, and when it is gone. */
  answer(name: string): Promise<string | null>;
  held(): Promise<Held | null>;
  /** All three at once. */
  keep(held: Held): Promise<void>;
}

export type Wanted = { readonly node: string; readonly addresses: readonly string[]; readonly lookEveryMs: number };

const ANSWER_EVERY_MS = 500;
/** Then another is filed: nobody signs, or the request was lost. */
const ANSWER_MS_MAX = 120_000;
const PAUSE_MS_MIN = 1_000;
const PAUSE_MS_MAX = 30_000;

export class IdentityKeeper {
  readonly #ports: IdentityPorts;
  readonly #wanted: Wanted;
  #failures = 0;
  #told = '';

  constructor(ports: IdentityPorts, wanted: Wanted) {
    this.#ports = ports;
    this.#wanted = wanted;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pauseMs = await this.#once(signal);
      await this.#ports.sleep(pauseMs, signal);
    }
  }

  /** Answers the pause till the next look. */
  async #once(signal: AbortSignal): Promise<number> {
    try {
      const isThere = await this.look(signal);
      this.#failures = 0;
      this.#told = '';
      return isThere ? this.#wanted.lookEveryMs : PAUSE_MS_MIN;
    } catch (error) {
      this.#tellOnce(messageOf(error));
      return Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(10, this.#failures++));
    }
  }

  /** Once; false: nobody is there who could sign. */
  async look(signal: AbortSignal): Promise<boolean> {
    const { log } = this.#ports;
    const ca = await this.#ports.trust();
    const [issuing] = certificatesIn(ca ?? '');
    if (ca === null || issuing === undefined) {
      this.#tellOnce('there is no trust yet: the signer has not run');
      return false;
    }
    const held = await this.#ports.held();
    if (held !== null && isSignedBy(held.certificate, issuing) && !isDue(held.certificate, this.#ports.nowMs())) {
      if (held.ca !== ca) await this.#ports.keep({ ...held, ca });
      return true;
    }
    // Before the certificate: a new authority must be trusted here when the first one shows a certificate of it.
    if (held !== null && held.ca !== ca) await this.#ports.keep({ ...held, ca });
    const made = await this.#ask(signal);
    if (made === null) return true;
    await this.#ports.keep({ ca, ...made });
    log.info('certificate taken', { node: this.#wanted.node });
    return true;
  }

  async #ask(signal: AbortSignal): Promise<{ certificate: string; key: string } | null> {
    const { node, addresses } = this.#wanted;
    const { request, key } = await makeRequest({ commonName: `agent:${node}`, organizations: [] }, [node, ...addresses]);
    // A crash behind this leaves a request whose key nobody has: it is signed, or not, and goes after a while.
    const name = await this.#ports.file(request);
    this.#ports.log.info('certificate asked for', { request: name });
    const endMs = this.#ports.nowMs() + ANSWER_MS_MAX;
    while (!signal.aborted && this.#ports.nowMs() < endMs) {
      const certificate = await this.#ports.answer(name);
      if (certificate !== null) return { certificate, key };
      await this.#ports.sleep(ANSWER_EVERY_MS, signal);
    }
    if (signal.aborted) return null;
    throw new Error(`the request ${name} was not answered within ${ANSWER_MS_MAX / 1_000} s`);
  }

  #tellOnce(reason: string): void {
    if (reason !== this.#told) this.#ports.log.warn('no certificate now, it is tried again', { reason });
    this.#told = reason;
  }
}
