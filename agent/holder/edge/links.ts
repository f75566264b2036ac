/**
 * The connections of the kernel's devices: when one dies, another is made, for as long as it takes, and what was not answered over the old one is sent again. Must
 * never give up a connection itself: what the server has not read of it yet could be done after what was sent again.
 *
 *   linked --the kernel says that the connection died, or it may have--> dialling --the kernel has the new one--> linked
 *   linked, dialling --forget--> (none), before it is failed or taken away
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../core/errors.ts';
import type { Log } from '../../../core/log.ts';
import type { Change } from '../kernelMessages.ts';
import type { Dialled } from './dial.ts';

const PAUSE_MS_MIN = 50;
/** A refused connection costs nothing, and whoever waits waits so much longer at most. */
const PAUSE_MS_MAX = 250;
/** Away for longer than this, unanswered requests are put back to wait in silence: each would write a line to the kernel's log again and again. */
const SILENCE_AFTER_MS = 1_000;
const SILENCE_SECONDS = 1;

/** What is linked. */
export type Link = { index: number; name: string; uid: string; socket: string };

/** What a link needs of the machine. */
export type LinkPorts = {
  dial(link: Link, signal: AbortSignal): Promise<Dialled>;
  reconfigure(link: Link, change: Change): Promise<void>;
  /** It is there and ours, and wants a connection. */
  isAlive(link: Link): boolean;
  /** After each time-out that was set: the kernel sets this one too, to its own liking. Nobody waits for it: it may need what comes next. */
  lookAgainSoon(link: Link): void;
};

type Watched = {
  link: Link;
  gone: AbortController;
  /** Null: linked, as far as anybody knows. */
  dialling: Promise<void> | null;
  isWanted: boolean;
  /** The kernel said that it has no connection, and has taken none since. */
  isDead: boolean;
  isSilent: boolean;
  waitedMs: number;
};

export class Links {
  readonly #ports: LinkPorts;
  readonly #log: Log;
  readonly #watched = new Map<number, Watched>();

  constructor(ports: LinkPorts, log: Log) {
    this.#ports = ports;
    this.#log = log;
  }

  get size(): number {
    return this.#watched.size;
  }

  /** As far as anybody knows. */
  isLinked(index: number): boolean {
    return this.#watched.get(index)?.dialling === null;
  }

  /** It may have died before anybody listened: a connection is offered, which the kernel takes only where one is missing. */
  watch(link: Link): void {
    const fresh = { dialling: null, isWanted: false, isDead: false, isSilent: false, waitedMs: 0 };
    const watched: Watched = { link, gone: new AbortController(), ...fresh };
    this.#watched.set(link.index, watched);
    this.#want(watched);
  }

  /** Resolves when nothing is on its way any more that would give it a connection. */
  async forget(index: number): Promise<void> {
    const watched = this.#watched.get(index);
    this.#watched.delete(index);
    watched?.gone.abort();
    await watched?.dialling;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#watched.keys()].map((index) => this.forget(index)));
  }

  /** The kernel says so. */
  died(index: number): void {
    const watched = this.#watched.get(index);
    if (watched === undefined) return;
    watched.isDead = true;
    this.#want(watched);
  }

  /** Some of what the kernel said was lost. */
  anyMayHaveDied(): void {
    for (const watched of this.#watched.values()) this.#want(watched);
  }

  #want(watched: Watched): void {
    watched.isWanted = true;
    watched.dialling ??= this.#dial(watched);
  }

  async #dial(watched: Watched): Promise<void> {
    const { link, gone } = watched;
    let pauseMs = PAUSE_MS_MIN;
    while (watched.isWanted && !gone.signal.aborted) {
      watched.isWanted = false;
      try {
        await this.#offer(watched);
        pauseMs = PAUSE_MS_MIN;
      } catch (error) {
        watched.isWanted = this.#hasPatience(watched, error);
        if (watched.isWanted) await this.#pause(watched, pauseMs);
        pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX);
      }
    }
    if (gone.signal.aborted) this.#log.debug('device is not watched any more', { volume: link.name });
    watched.dialling = null;
  }

  /**
   * Without a time-out before it has a connection: else that would be given up when it is slow. A crash in between leaves a device without one, and the next holder
   * offers it again.
   */
  async #offer(watched: Watched): Promise<void> {
    const { link, gone } = watched;
    const dialled = await this.#ports.dial(link, gone.signal);
    try {
      gone.signal.throwIfAborted();
      await this.#ports.reconfigure(link, { timeoutSeconds: 0 });
      await this.#ports.reconfigure(link, { descriptor: dialled.descriptor });
      this.#ports.lookAgainSoon(link);
    } finally {
      dialled.close();
    }
    if (watched.waitedMs > 0) this.#log.info('device is connected again', { volume: link.name, waitedMs: watched.waitedMs });
    Object.assign(watched, { isDead: watched.isWanted, isSilent: false, waitedMs: 0 });
  }

  #hasPatience({ link, gone, waitedMs }: Watched, error: unknown): boolean {
    if (gone.signal.aborted) return false;
    if (!this.#ports.isAlive(link)) {
      this.#log.warn('device is gone: nothing to connect', { volume: link.name });
      return false;
    }
    if (waitedMs === 0) this.#log.warn('device waits for its volume', { volume: link.name, reason: messageOf(error) });
    return true;
  }

  async #pause(watched: Watched, pauseMs: number): Promise<void> {
    if (watched.isDead && !watched.isSilent && watched.waitedMs >= SILENCE_AFTER_MS) await this.#silence(watched);
    watched.waitedMs += pauseMs;
    await sleep(pauseMs, undefined, { signal: watched.gone.signal }).catch(() => undefined);
  }

  /** Only where there is no connection that this would give up. */
  async #silence(watched: Watched): Promise<void> {
    const { link } = watched;
    try {
      await this.#ports.reconfigure(link, { timeoutSeconds: SILENCE_SECONDS });
      watched.isSilent = true;
    } catch (error) {
      this.#log.debug('unanswered requests cannot be put back', { volume: link.name, error });
    }
  }
}
